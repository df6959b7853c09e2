"""`homespun spin`: from a folder of text to a model that talks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    ChatFileOption,
    LanguageOption,
    MemoryOption,
    NameOption,
    ObjectiveOption,
    PortableOption,
    PresetOption,
    RampOption,
    RegulariseOption,
    RunsOption,
    SeedOption,
    StepsOption,
    StopEarlyOption,
    StrategyOption,
    TrainingSetOption,
    chosen_preset,
    plan_options,
    text,
)
from homespun.cli.options import minutes as check_minutes


def spin(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER|CORPUS]",
            callback=text,
            help="A folder or file of text, or a corpus by name (`homespun data list`).",
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            callback=check_minutes,
            help="How long it may take, all stages together.",
        ),
    ] = 10.0,
    name: NameOption = None,
    chat: ChatFileOption = None,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
    steps: StepsOption = None,
    portable: PortableOption = False,
    preset: PresetOption = None,
    objective: ObjectiveOption = None,
    memory: MemoryOption = None,
    ramp: RampOption = None,
    regularise: RegulariseOption = False,
    stop_early: StopEarlyOption = False,
    strategy: StrategyOption = None,
    changes: TrainingSetOption = None,
    no_chat: Annotated[bool, typer.Option("--no-chat", help="Do not end in the chat.")] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Spin text into a model you can talk to: clean, tokenize, train, teach to chat, judge.

    Stopped by Ctrl-C or a power cut, the same command continues.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import print_next, print_summary
    from homespun.cli.terminal import interactive
    from homespun.recipes import spin as spin_run

    wanted = chosen_preset(preset, portable)
    options = plan_options(
        memory, ramp, regularise=regularise, stop_early=stop_early, changes=changes
    )
    with open_progress() as progress:
        run = spin_run(
            source,
            minutes=minutes,
            name=name,
            chat=chat,
            language=lang,
            seed=seed,
            steps=steps,
            preset=wanted,
            objective=objective,
            options=options,
            strategy=strategy,
            runs=runs,
            progress=progress,
        )
    print_summary(run.path)
    if no_chat or not interactive() or not run.can_chat:
        print_next(run.path)
        return
    from homespun.cli.talk import Talk, open_reader
    from homespun.core import SamplingSettings

    Talk(
        run.chat_session(),
        SamplingSettings(temperature=0.3, seed=seed),
        reader=open_reader(history=None),
        token_bytes=run.tokenizer.token_bytes,
    ).loop()
