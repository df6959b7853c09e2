"""`homespun plan`: what a budget of minutes buys, before any of it is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    from homespun.cli.summary import command_name
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
    say(f"Next: {command_name()} pretrain {run}")


def print_plan(plan: dict[str, Any]) -> None:
    """Print a `RunPlan`: the size, what it will read, and the speeds it was chosen by."""
    from homespun.cli.terminal import count_text, say, seconds_text

    model = plan["model"]
    say(
        f"size {plan['size']}: {count_text(plan['parameters'])} parameters, "
        f"{model['num_layers']} layers of width {model['width']}, context {model['context']}",
        "bold",
    )
    if plan["num_steps"] is not None:
        say(
            f"pretraining: {plan['num_steps']:,} steps "
            f"of {plan['rows']} x {model['context']} tokens"
        )
    else:
        say(f"pretraining: {seconds_text(plan['seconds'])}")
    tokens, epochs = count_text(plan["expected_tokens"]), plan["expected_epochs"]
    say(f"it reads {tokens} tokens, the corpus {epochs:.1f} times, in {plan['compute_dtype']}")
    for speed in plan["speeds"]:
        say(f"measured: {speed['size']} learns {speed['tokens_per_second']:,.0f} tokens a second")
    say(f"why: {plan['reason']}")
