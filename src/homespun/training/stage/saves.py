"""Checkpoints of a stage under way: when, what is in them, and taking one over."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from homespun.core import Progress, WorkClock
from homespun.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from homespun.training.config import TrainConfig
from homespun.training.distributed.tensors import drain
from homespun.training.limits import Limit
from homespun.training.metrics import RowLog
from homespun.training.resources import peak_memory_bytes
from homespun.training.stage.state import State
from homespun.training.stage.trainee import Trainee


class Saves:
    """Writes checkpoints of `trainee` and the state, and reads the newest.

    Args:
        trainee: gives its tensors, or takes them.
        stage_dir: the stage's folder.
        config: the stage's.
        clock: the run's; saved with each checkpoint.

    Attributes:
        newest: the folder of the newest checkpoint; None before the first.
    """

    def __init__(
        self, trainee: Trainee, stage_dir: Path, config: TrainConfig, clock: WorkClock
    ) -> None:
        self._trainee, self._stage_dir = trainee, stage_dir
        self._config, self._clock = config, clock
        self._saved_step = -1
        self._saved_at = time.monotonic()
        self.newest: Path | None = None

    def resume(self, progress: Progress) -> State:
        """Take over the newest checkpoint, or stand at the beginning."""
        loaded: Checkpoint | None = None

        def read() -> dict[str, Any] | None:
            nonlocal loaded
            loaded = load_checkpoint(self._stage_dir, progress=progress)
            return None if loaded is None else {"path": str(loaded.path), "state": loaded.state}

        found = self._trainee.world.lead(read)
        if found is None:
            return State()
        self._trainee.restore(loaded)
        state = State(**found["state"])
        self._saved_step, self.newest = state.step, Path(found["path"])
        progress.say(f"continuing {self._stage_dir.name} after step {state.step}")
        return state

    def is_due(self, state: State) -> bool:
        steps, seconds = self._config.checkpoint_steps, self._config.checkpoint_seconds
        if steps and state.step % steps == 0:
            return True
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def save(self, state: State, limit: Limit, metrics: RowLog) -> None:
        """Write a checkpoint of the step just made, unless there is one."""
        if self._saved_step == state.step:
            return
        began = time.monotonic()
        state.seconds = limit.used()
        (peak,) = self._trainee.world.highest([peak_memory_bytes()])
        state.peak_memory_bytes = max(state.peak_memory_bytes, round(peak))
        state.evaluation_seconds = limit.evaluation_seconds
        state.checkpoint_seconds = limit.checkpoint_seconds
        state.step_seconds = limit.step_seconds
        metrics.sync()
        world = self._trainee.world
        weights, optimizer = self._trainee.weights(), self._trainee.optimizer_state()

        def write() -> str:
            try:
                path = save_checkpoint(
                    self._stage_dir,
                    state.step,
                    weights,
                    optimizer,
                    asdict(state),
                    keep=self._config.keep_checkpoints,
                )
            finally:
                take_part()
            return str(path)

        def take_part() -> None:
            drain(weights)
            drain(optimizer)

        if not world.is_leader:
            take_part()
        self.newest = Path(world.lead(write))
        self._clock.save()
        self._saved_step, self._saved_at = state.step, time.monotonic()
        limit.reserve(checkpoint=self._saved_at - began)
