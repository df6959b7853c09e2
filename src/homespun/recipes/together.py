"""Runs on several processes: one leads, the others help with the stages that train.

The leader does the whole job as if it were alone: it reads texts, measures, plans, writes and
prints. Only where a model is trained it calls the others, who wait without using the processor,
open the same run and train with it. All machines must see the run's folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from homespun.core import ConfigError, RunDirectory, WorkClock
from homespun.core.processes import process_place

if TYPE_CHECKING:
    from homespun.training import ParallelConfig
    from homespun.training.distributed import World

T = TypeVar("T")
_MORE = {"checkpoint": "checkpoint_activations", "compile": "compile"}
_ACCUMULATE = "accumulate"


def led(work: Callable[[World | None], T]) -> T:
    """Do `work` on the leader, helped by the others where it trains; all get its result.

    Args:
        work: is given the processes, None where there is only this one and no GPU. What it returns
            is JSON.

    Raises:
        OtherProcessFailed: on all but the process where something went wrong; it is a SystemExit,
            so they leave without a word.
    """
    if process_place().size == 1 and training_device() == "cpu":
        return work(None)
    from homespun.training.distributed import joined_world

    with joined_world() as world:
        if not world.is_leader:
            told: T = _follow(world)
            return told
        try:
            result = work(world)
        except BaseException:
            world.give_up()
            raise
        world.lead(lambda: {"result": result})
        return result


class Helpers(NamedTuple):
    """Who trains along. Without any, all of this does nothing.

    Attributes:
        world: the processes; None for this one alone.
        strategy: how a model is spread over them; None for the usual way.
    """

    world: World | None = None
    strategy: str | None = None

    def call(self, job: str, run: Path, **arguments: Any) -> None:
        """The leader has the others do `job`, one of those of `_follow`, for `run`."""
        if self.world is not None and self.world.is_leader:
            said = {"run": str(run.resolve()), "strategy": self.strategy, **arguments}
            self.world.lead(lambda: {"job": job, "arguments": said})

    def parallel(self, parts: int = 1) -> ParallelConfig:
        """What "fsdp" or "ddp+checkpoint+compile" says.

        Args:
            parts: that a step's rows are to be cut into at least.

        Raises:
            ConfigError: there is no such strategy.
        """
        from homespun.core import parse_config
        from homespun.training import ParallelConfig

        given: dict[str, Any] = {}
        if self.strategy is not None:
            given["strategy"], *more = self.strategy.split("+")
            for word in more:
                number = word.removeprefix(_ACCUMULATE)
                if word in _MORE:
                    given[_MORE[word]] = True
                elif word != number and number.isdecimal():
                    given["accumulate"] = int(number)
                else:
                    raise ConfigError(
                        "a strategy may be followed by +checkpoint, +compile and +accumulate "
                        "with a number",
                        got=self.strategy,
                        remedy="write ddp, fsdp, or fsdp+checkpoint+accumulate4",
                    )
        asked = parse_config(ParallelConfig, given, where="the settings for several processes")
        return asked.model_copy(update={"accumulate": max(parts, asked.accumulate)})


ALONE = Helpers()


def check_strategy(strategy: str | None) -> None:
    """Raises ConfigError where there is no such strategy, or not here, before anything is read or
    measured."""
    if strategy is None:
        return
    from homespun.recipes.measure import best_kernels
    from homespun.training.distributed import check_compile

    asked = Helpers(None, strategy).parallel()
    if asked.compile:
        check_compile(asked, kernels=best_kernels().name, device=training_device())


def training_device() -> str:
    """What models are trained on: a GPU for each process where there are any."""
    from homespun.recipes.run import chosen_device

    return chosen_device("auto").type


def _follow(world: World) -> Any:
    """Help with whatever the leader calls for, until it is done; returns its result."""
    from homespun.recipes import learn
    from homespun.recipes.extend.helping import help_going_on
    from homespun.recipes.measure import help_measuring

    jobs: dict[str, Callable[..., None]] = {
        "pretrain": learn.help_pretraining,
        "chat": learn.help_with_chat,
        "further": help_going_on,
        "measure": help_measuring,
    }
    while True:
        said: dict[str, Any] = world.lead(dict)
        if "result" in said:
            return said["result"]
        arguments = said["arguments"]
        helpers = Helpers(world, arguments.pop("strategy"))
        run = RunDirectory.open(arguments.pop("run"))
        with tempfile.TemporaryDirectory() as folder:
            # The leader's time is the run's: this clock is nobody's.
            clock = WorkClock(Path(folder) / "clock.json")
            jobs[said["job"]](run, clock=clock, helpers=helpers, **arguments)
