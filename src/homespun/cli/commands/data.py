"""`homespun data`: texts that can be had by name."""

from __future__ import annotations

from typing import Annotated

import typer

from homespun.cli.groups import new_group


def build_group() -> typer.Typer:
    group = new_group("Texts that can be had by name.")
    group.command("list")(list_)
    group.command("get")(get)
    return group


def list_() -> None:
    """List the corpora that have a name, and whether they are here already."""
    from rich.table import Table

    from homespun.cli.terminal import out
    from homespun.corpus import named_corpora

    table = Table("name", "language", "here", "what it is")
    for entry in named_corpora():
        table.add_row(
            entry.name, entry.language, "yes" if entry.is_present else "no", entry.description
        )
    out().print(table)


def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `homespun data list`.")],
) -> None:
    """Fetch a corpus by name, once; say where it lies."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.corpus import download

    with open_progress() as progress:
        path = download(name, progress=progress)
    say(str(path))
