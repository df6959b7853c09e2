"""`homespun extend`: a finished model made larger, and trained further, as a new run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.commands.further.continue_ import RewarmOption, train_further
from homespun.cli.groups import new_group
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


def build_group() -> typer.Typer:
    group = new_group("Make a finished model larger: its context, vocabulary, or size.")
    group.command("context")(context)
    group.command("vocabulary")(vocabulary)
    group.command("grow")(grow)
    return group


def context(
    run: RunArgument,
    context: Annotated[
        int,
        typer.Option("--context", callback=number(2, 131_072), help="The new context, in tokens."),
    ],
    method: Annotated[
        str, typer.Option("--method", help="How positions are rescaled: base, linear or yarn.")
    ] = "base",
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    rewarm: RewarmOption = 0.3,
    strategy: StrategyOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Give a model a longer context, and say what it does beyond the old one."""
    from typing import cast

    from homespun.recipes import extend_context
    from homespun.recipes.extend.context import Method

    path = resolve_run(run, runs=runs)
    train_further(
        lambda progress: extend_context(
            path,
            context,
            method=cast(Method, method),
            minutes=minutes,
            steps=steps,
            rewarm=rewarm,
            name=name,
            strategy=strategy,
            progress=progress,
        )
    )


def vocabulary(
    run: RunArgument,
    vocab: Annotated[
        int,
        typer.Option("--vocab", callback=number(1, 1 << 20), help="Tokens there are to be in all."),
    ],
    text: Annotated[
        str | None,
        typer.Option("--text", help="Learn them from this: a folder, a file, a corpus's name."),
    ] = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    rewarm: RewarmOption = 0.5,
    strategy: StrategyOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Learn more tokens on top of those there are, and train the model with them."""
    from homespun.recipes import extend_vocabulary

    path = resolve_run(run, runs=runs)
    train_further(
        lambda progress: extend_vocabulary(
            path,
            vocab,
            text=text,
            minutes=minutes,
            steps=steps,
            rewarm=rewarm,
            name=name,
            strategy=strategy,
            progress=progress,
        )
    )


def grow(
    run: RunArgument,
    layers: Annotated[
        int | None,
        typer.Option("--layers", callback=number(1, 1000), help="Layers; as before if left out."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", callback=number(2, 65_536), help="Width; as before if left out."),
    ] = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    rewarm: RewarmOption = 1.0,
    strategy: StrategyOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Grow a model without changing what it says, and train it further."""
    from homespun.recipes import grow_run

    path = resolve_run(run, runs=runs)
    train_further(
        lambda progress: grow_run(
            path,
            layers=layers,
            width=width,
            minutes=minutes,
            steps=steps,
            rewarm=rewarm,
            name=name,
            strategy=strategy,
            progress=progress,
        )
    )
