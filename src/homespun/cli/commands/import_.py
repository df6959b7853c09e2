"""`homespun import`: a model from elsewhere becomes a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import NameOption, RunsOption, number


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A Hugging Face folder, or hub:OWNER/NAME to fetch one."
        ),
    ],
    name: NameOption = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            callback=number(2, 10**9),
            help="Longest text in tokens, if less is enough.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="A folder, file or corpus to measure the model on with eval."),
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Take in a GPT-2, Llama, Mistral, Qwen2 or Qwen3 model. Nothing of it is ever executed."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say, visible
    from homespun.core.files import typed
    from homespun.recipes import import_model

    path = runs / (name or default_name(source))
    with open_progress() as progress:
        found = import_model(source, path, context=context, text=text, progress=progress)
    say(
        f"{path} has {found['parameters']:,} parameters, {found['vocab_size']:,} tokens and a "
        f"context of {found['context']:,}"
    )
    command = "chat" if found["chats"] else "generate"
    say(visible(f"try it with `homespun {command} {typed(path)}`"), "dim")


def default_name(source: str) -> str:
    """The last part of the source, as a run's name."""
    last = source.removeprefix("hub:").rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^\w.+-]+|^[^\w]+", "-", last).strip("-.+") or "imported"
