"""Checkpoints of a stage under way: when, what is in them, and taking one over."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from homespun.core import Progress, WorkClock
from homespun.training.checkpoint import load_checkpoint, save_checkpoint
from homespun.training.config import TrainConfig
from homespun.training.limits import Limit
from homespun.training.metrics import MetricsLog
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
        loaded = load_checkpoint(self._stage_dir, progress=progress)
        if loaded is None:
            return State()
        self._trainee.restore(loaded)
        self._saved_step, self.newest = loaded.step, loaded.path
        progress.say(f"continuing {self._stage_dir.name} after step {loaded.step}")
        return State(**loaded.state)

    def is_due(self, state: State) -> bool:
        steps, seconds = self._config.checkpoint_steps, self._config.checkpoint_seconds
        if steps and state.step % steps == 0:
            return True
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def save(self, state: State, limit: Limit, metrics: MetricsLog) -> None:
        """Write a checkpoint of the step just made, unless there is one."""
        if self._saved_step == state.step:
            return
        began = time.monotonic()
        state.seconds = limit.used()
        state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory_bytes())
        state.evaluation_seconds = limit.evaluation_seconds
        state.checkpoint_seconds = limit.checkpoint_seconds
        state.step_seconds = limit.step_seconds
        metrics.sync()
        self.newest = save_checkpoint(
            self._stage_dir,
            state.step,
            self._trainee.weights(),
            self._trainee.optimizer_state(),
            asdict(state),
            keep=self._config.keep_checkpoints,
        )
        self._clock.save()
        self._saved_step, self._saved_at = state.step, time.monotonic()
        limit.reserve(checkpoint=self._saved_at - began)
