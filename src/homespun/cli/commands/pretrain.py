"""`homespun pretrain`: learn to continue the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    MemoryOption,
    MinutesOption,
    PortableOption,
    PresetOption,
    RampOption,
    RegulariseOption,
    RunArgument,
    RunsOption,
    SettingsOption,
    StepsOption,
    StrategyOption,
    chosen_preset,
    resolve_run,
)


def pretrain(
    run: RunArgument,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    portable: PortableOption = False,
    preset: PresetOption = None,
    strategy: StrategyOption = None,
    settings: SettingsOption = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="causal; prefix: what follows a part that is read both ways; blank: pieces taken "
            "out, as GLM. Only `generate` uses a model of the latter two.",
        ),
    ] = None,
    memory: MemoryOption = None,
    ramp: RampOption = None,
    regularise: RegulariseOption = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Train the run's model on its corpus; killed, it continues from its newest checkpoint."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name
    from homespun.cli.terminal import say
    from homespun.recipes import PlanOptions, open_run, pretrain_stage
    from homespun.recipes.scale.ramped import ramp_settings
    from homespun.recipes.scale.room import parse_memory

    wanted = chosen_preset(preset, portable)
    if ramp is not None:
        ramp_settings(ramp)
    options = PlanOptions(memory=parse_memory(memory), ramp=ramp, regularise=regularise)
    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        pretrain_stage(
            path,
            minutes=minutes,
            steps=steps,
            preset=wanted,
            objective=objective,
            settings_file=settings,
            options=options,
            strategy=strategy,
            progress=progress,
        )
    if open_run(path).objective == "causal":
        say(f"Next: {command_name()} finetune chat {run}")
    else:
        say(f"Next: {command_name()} generate {run} --prompt TEXT")
