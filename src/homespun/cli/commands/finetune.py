"""`homespun finetune`: teach a pretrained model something particular."""

from __future__ import annotations

from pathlib import Path

import typer

from homespun.cli.commands.tasks.learn import add_tasks
from homespun.cli.groups import new_group
from homespun.cli.options import (
    ChatFileOption,
    MinutesOption,
    RunArgument,
    RunsOption,
    StepsOption,
    StrategyOption,
    resolve_run,
)


def build_group() -> typer.Typer:
    group = new_group("Teach a model something particular: to chat, or a task of your own file.")
    group.command("chat")(chat)
    add_tasks(group)
    return group


def chat(
    run: RunArgument,
    chat: ChatFileOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    strategy: StrategyOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Teach the model to answer, from your conversations or from those made of the corpus."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes import chat_stage

    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        chat_stage(
            path, chat=chat, minutes=minutes, steps=steps, strategy=strategy, progress=progress
        )
    say(f"Next: {command_name()} chat {typed(run)}")
