"""Jobs that die on purpose, in processes forked from a server that has everything loaded."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homespun.core import Silent, Task

PRELOADED = [
    "homespun.training",
    "homespun.models",
    "homespun.recipes",
    "homespun.corpus",
    "homespun.evaluation",
    "tensorboardX.event_file_writer",
]


class Dies(Silent):
    """Kills its own process when a task begins; "sft@2" is at that task's second advance."""

    def __init__(self, when: str) -> None:
        self._name, _, count = when.partition("@")
        self._left = int(count or 0)

    def task(self, name: str, total: float | None = None, unit: str = "") -> Task:
        task = super().task(name, total, unit)
        if name != self._name:
            return task
        if not self._left:
            die()
        return _Counts(self._left)


class _Counts:
    def __init__(self, left: int) -> None:
        self._left = left

    def advance(self, *args: Any, **settings: Any) -> None:
        self._left -= 1
        if not self._left:
            die()

    def finish(self, *args: Any, **settings: Any) -> None:
        pass


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def spin_until(when: str, texts: str, runs: str, asked: dict[str, Any]) -> None:
    from homespun.recipes import spin

    spin(texts, runs=runs, progress=Dies(when), **asked)


def spin_with_table_until(when: str, texts: str, runs: str, asked: dict[str, Any]) -> None:
    from table_stage import plan_with_table

    from homespun.recipes import pipeline

    pipeline.make_run_plan = plan_with_table
    spin_until(when, texts, runs, asked)


def pretrain_until(when: str, run: str, asked: dict[str, Any]) -> None:
    """With a checkpoint after every other step, see `often`."""
    from homespun.recipes import pretrain_stage
    from homespun.recipes.learn import pretrain

    pretrain.pretrain_config = often(pretrain.pretrain_config)
    pretrain_stage(Path(run), progress=Dies(when), **asked)


def often(config_of: Callable[..., Any]) -> Callable[..., Any]:
    """`pretrain_config` with a checkpoint after every other step."""

    def changed(*plan: Any, **settings: Any) -> Any:
        return config_of(*plan, **settings).model_copy(update={"checkpoint_steps": 2})

    return changed


def continue_until(when: str, parent: str, text: str, asked: dict[str, Any]) -> None:
    from homespun.recipes import continue_run

    continue_run(parent, text, progress=Dies(when), **asked)


def killed(job: Callable[..., None], *arguments: Any) -> bool:
    """Run `job(*arguments)` in a process of its own; whether it was killed with -9."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=job, args=arguments)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL
