"""`homespun export`: a model for other people's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import RunArgument, RunsOption, resolve_run


def build_group() -> typer.Typer:
    group = new_group("Write a model for other tools.")
    group.command("hf")(hf)
    return group


def hf(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    runs: RunsOption = Path("runs"),
) -> None:
    """Write the model as a Hugging Face folder that `transformers` opens."""
    from homespun.cli.terminal import say
    from homespun.core import RequestError
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(
            f"{folder} exists and is not an empty folder", remedy="choose a new folder"
        )
    open_run(path).export_hf(folder)
    say(f"written to {folder}; open it with transformers' AutoModelForCausalLM")
