"""`homespun data`: texts that can be had by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from homespun.cli.groups import new_group

if TYPE_CHECKING:
    from homespun.corpus.registry import CorpusEntry


def build_group() -> typer.Typer:
    group = new_group("Texts that can be had by name.")
    group.command("list")(list_)
    group.command("get")(get)
    return group


def list_() -> None:
    """List the corpora that have a name, and whether they are on this machine."""
    from homespun.cli.terminal import bytes_text, out, say, table
    from homespun.corpus.registry import named_corpora

    corpora = table("name", "size")
    for title in ("here", "language", "what it is (licence)"):
        corpora.add_column(title)
    for entry in named_corpora():
        here = "yes" if is_here(entry) else "no" if entry.files else "-"
        size = "varies" if entry.embedded else bytes_text(entry.num_bytes)
        corpora.add_row(entry.name, size, here, entry.language, f"{entry.title} ({entry.licence})")
    out().print(corpora)
    say(
        "`homespun spin NAME` learns from one, fetching it where it is not here; "
        "`homespun data get NAME` only fetches."
    )


def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `homespun data list`.")],
) -> None:
    """Fetch a corpus by name, checked by its SHA-256, unless it is here; say where it lies."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.corpus.registry import locate

    with open_progress() as progress:
        path = locate(name, progress=progress)
    say(f"{name} is in {path}")


def is_here(entry: CorpusEntry) -> bool:
    """Whether a corpus can be read without the network: $HOMESPUN_DATA or the cache has it."""
    from homespun.corpus.registry import cache_folder, data_folder

    folder = data_folder()
    if entry.embedded:
        return True
    if folder is not None and entry.local and all((folder / p).is_file() for p in entry.local):
        return True
    cached = [cache_folder() / entry.name / file.path for file in entry.files]
    return bool(cached) and all(path.is_file() for path in cached)
