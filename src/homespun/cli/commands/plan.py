"""`homespun plan`: what a budget of minutes buys, before any of it is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import MinutesOption, RunArgument, RunsOption, StepsOption, resolve_run


def plan(
    run: RunArgument,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    size: Annotated[
        str | None, typer.Option(help="A named size such as 1m, instead of the one advised.")
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Choose a model's size and shape for a budget, from speeds measured here."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.core import ConfigError
    from homespun.recipes import plan_stage

    if (minutes is None) == (steps is None):
        raise ConfigError(
            "a plan needs a budget in minutes or in steps",
            got="neither" if minutes is None else "both",
            remedy="give --minutes 10, for example",
        )
    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        result = plan_stage(path, minutes=minutes, steps=steps, size=size, progress=progress)
    print_plan(result)
    say(f"Next: homespun pretrain {run}")


def print_plan(plan: dict[str, object], indent: str = "") -> None:
    """Print a plan, nested as it is."""
    from homespun.cli.terminal import count_text, say

    for key, value in plan.items():
        label = f"{indent}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            say(f"{label}:")
            print_plan(value, indent + "  ")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            say(f"{label}: {value}")
        else:
            written = count_text(value) if isinstance(value, int) else f"{value:.6g}"
            say(f"{label}: {written}")
