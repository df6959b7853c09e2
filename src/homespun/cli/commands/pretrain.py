"""`homespun pretrain`: learn to continue the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    MemoryOption,
    MinutesOption,
    ObjectiveOption,
    PortableOption,
    PresetOption,
    RampOption,
    RegulariseOption,
    RunArgument,
    RunsOption,
    SettingsOption,
    StepsOption,
    StopEarlyOption,
    StrategyOption,
    TrainingSetOption,
    chosen_preset,
    number,
    plan_options,
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
    objective: ObjectiveOption = None,
    memory: MemoryOption = None,
    ramp: RampOption = None,
    regularise: RegulariseOption = False,
    stop_early: StopEarlyOption = False,
    changes: TrainingSetOption = None,
    keep_checkpoints: Annotated[
        int | None,
        typer.Option(
            callback=number(2, 1000),
            help="How many checkpoints stay, the newest: 2; `average` takes the mean of them.",
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(
            callback=number(0, 10**5, above=True),
            help="Minutes between two of them; a third where not given.",
        ),
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Train the run's model on its corpus; killed, it continues from its newest checkpoint."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes import open_run, pretrain_stage

    wanted = chosen_preset(preset, portable)
    settings_given = list(changes or ())
    if keep_checkpoints is not None:
        settings_given.append(f"train.keep_checkpoints={keep_checkpoints}")
    if checkpoint_minutes is not None:
        settings_given.append(f"train.checkpoint_seconds={60 * checkpoint_minutes:g}")
    options = plan_options(
        memory, ramp, regularise=regularise, stop_early=stop_early, changes=settings_given
    )
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
        say(f"Next: {command_name()} finetune chat {typed(run)}")
    else:
        say(f"Next: {command_name()} generate {typed(run)} --prompt TEXT")
