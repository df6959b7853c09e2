"""`homespun pretrain`: learn to continue the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    MinutesOption,
    PortableOption,
    PresetOption,
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
    runs: RunsOption = Path("runs"),
) -> None:
    """Train the run's model on its corpus; killed, it continues from its newest checkpoint."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name
    from homespun.cli.terminal import say
    from homespun.recipes import pretrain_stage

    wanted = chosen_preset(preset, portable)
    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        pretrain_stage(
            path,
            minutes=minutes,
            steps=steps,
            preset=wanted,
            objective=objective,
            settings_file=settings,
            strategy=strategy,
            progress=progress,
        )
    if objective in (None, "causal"):
        say(f"Next: {command_name()} finetune chat {run}")
    else:
        say(f"Next: {command_name()} generate {run} --prompt TEXT")
