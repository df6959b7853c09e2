"""`homespun continue`: a finished model reads on, in new text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homespun.cli.options import (
    MinutesOption,
    NameOption,
    RunArgument,
    RunsOption,
    StepsOption,
    StrategyOption,
    number,
    resolve_run,
)

if TYPE_CHECKING:
    from homespun.core import Progress, RunDirectory

RewarmOption = Annotated[
    float,
    typer.Option(
        "--rewarm",
        callback=number(0, 2, above=True),
        help="Highest learning rate, as a share of the first training's.",
    ),
]


def continue_(
    run: RunArgument,
    text: Annotated[str, typer.Argument(help="New text: a folder, a file, or a corpus's name.")],
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    replay: Annotated[
        float,
        typer.Option(
            "--replay", callback=number(0, 0.9), help="Share of old text that is read again."
        ),
    ] = 0.25,
    rewarm: RewarmOption = 1.0,
    strategy: StrategyOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Train a finished model further on new text, and say what it gained and what it forgot."""
    from homespun.recipes import continue_run

    path = resolve_run(run, runs=runs)
    train_further(
        lambda progress: continue_run(
            path,
            text,
            minutes=minutes,
            steps=steps,
            replay=replay,
            rewarm=rewarm,
            name=name,
            strategy=strategy,
            progress=progress,
        )
    )


def train_further(recipe: Callable[[Progress], RunDirectory]) -> None:
    """Have `recipe` make a new run, watched, and print what came of it."""
    from homespun.cli.progress import open_progress

    with open_progress() as progress:
        new = recipe(progress)
    print_change(new.path)


def print_change(run: Path) -> None:
    """Print the sentences of change.json, and what can be done now."""
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.core.files import read_json

    for sentence in read_json(run / "change.json")["sentences"]:
        say(sentence)
    shown = run.name if run.parent == Path("runs") else str(run)
    say(f"Next: {command_name()} finetune chat {typed(shown)}")
