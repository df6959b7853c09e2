"""Checkpoints of a stage under way: when, what is in them, taking one over, going back to one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import HomespunError, Progress, RunError, WorkClock
from homespun.training.checkpoint import (
    Checkpoint,
    commit_checkpoint,
    conclude_rewind,
    is_whole,
    load_checkpoint,
    remove_newer,
    write_checkpoint,
)
from homespun.training.config import TrainConfig
from homespun.training.distributed import World
from homespun.training.distributed.tensors import drain
from homespun.training.health import rewind_interval
from homespun.training.limits import Limit
from homespun.training.metrics import RowLog
from homespun.training.resources import peak_memory_bytes
from homespun.training.stage.behind import Behind
from homespun.training.stage.state import State
from homespun.training.stage.trainee import Trainee
from homespun.training.stage.watching import rewound


class _Loaded(NamedTuple):
    step: int
    state: State
    path: str


class Saves:
    """Writes checkpoints of `trainee` and the state, and reads the newest.

    The tensors are written to files (which the operating system keeps in memory) before `save`
    returns, so training may go on changing them; hashing the files, forcing them to disk and
    putting the checkpoint into place, which is most of the time, happens in a thread. A process
    that is killed meanwhile leaves a half-made folder, and goes on from the checkpoint before.

    Args:
        trainee: gives its tensors, or takes them.
        stage_dir: the stage's folder.
        config: the stage's.
        clock: the run's; saved with each checkpoint.
        progress: told of what is taken over.

    Attributes:
        newest: the folder of the newest checkpoint, or of the one taken over since; None before
            the first.
    """

    def __init__(
        self,
        trainee: Trainee,
        stage_dir: Path,
        config: TrainConfig,
        clock: WorkClock,
        progress: Progress,
    ) -> None:
        self._trainee, self._stage_dir = trainee, stage_dir
        self._config, self._clock, self._progress = config, clock, progress
        self._interval = rewind_interval(config.spikes, config.num_steps)
        self._behind = Behind()
        self._saved_step = -1
        self._saved_at = time.monotonic()
        self._took = 0.0
        self.newest: Path | None = None

    @property
    def world(self) -> World:
        return self._trainee.world

    def resume(self) -> State:
        """Take over the newest checkpoint, or stand at the beginning."""
        self._trainee.world.lead(lambda: conclude_rewind(self._stage_dir))
        loaded = self._load(None)
        if loaded is None:
            return State()
        self._saved_step, self.newest = loaded.step, Path(loaded.path)
        if loaded.state.anchor_step < 0:  # one that another run ended with
            loaded.state.anchor_step = loaded.step
        # Gone where an older checkpoint was gone back to because the newest ones were damaged. One
        # that cannot be read now may be by the end, so it stays known and is not rotated away.
        best = loaded.state.best_step
        if best >= 0 and not self._has(best, if_unreadable=True):
            loaded.state.best_step, loaded.state.best_loss = -1, None
        self._progress.say(f"continuing {self._stage_dir.name} after step {loaded.step}")
        return loaded.state

    def is_due(self, state: State) -> bool:
        steps, seconds = self._config.checkpoint_steps, self._config.checkpoint_seconds
        if steps and state.step % steps == 0:
            return True
        if self._interval and self._is_anchor(state):
            return True
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def save(self, state: State, limit: Limit, metrics: RowLog, *, keep: int = 0) -> None:
        """Begin a checkpoint of the step just made, unless there is one. `finish` waits for it.

        Args:
            keep: of the newest checkpoints, more than the stage's config says.

        Raises:
            BudgetError, RunError: this save or the one before could not be written.
        """
        if self._saved_step == state.step:
            return
        began = time.monotonic()
        self._behind.wait()
        if self._is_anchor(state):
            state.anchor_step, state.anchor_best_step = state.step, state.best_step
        limit.reserve(checkpoint=self._took)
        state.seconds = limit.used()
        (peak,) = self._trainee.world.highest([peak_memory_bytes()])
        state.peak_memory_bytes = max(state.peak_memory_bytes, round(peak))
        state.evaluation_seconds = limit.evaluation_seconds
        state.checkpoint_seconds = limit.checkpoint_seconds
        state.step_seconds = limit.step_seconds
        metrics.flush()
        temporary = self._write(state)
        keep = max(keep, self._config.keep_checkpoints)
        # What the run may go back to, with the best weights as they were known there, and now.
        spare = {state.anchor_step, state.anchor_best_step, state.best_step}

        def commit() -> None:
            metrics.fsync()  # the rows of a checkpoint must not be lost
            self.newest = commit_checkpoint(temporary, keep=keep, spare=spare)
            self._clock.save()
            self._took = time.monotonic() - began

        if self._trainee.world.is_leader:
            self._behind.start(commit)
        self._saved_step, self._saved_at = state.step, time.monotonic()
        state.saving_seconds += self._saved_at - began

    def poll(self) -> None:
        """Raises what a save that is over raised; never waits."""
        self._behind.poll()

    def finish(self) -> None:
        """Wait until what was saved is safe. Raises like `save`."""

        def wait() -> str | None:
            self._behind.wait()
            return None if self.newest is None else str(self.newest)

        newest = self._trainee.world.lead(wait)
        self.newest = None if newest is None else Path(newest)

    def abandon(self) -> None:
        """Let a save under way be whole where something else went wrong already."""
        with suppress(HomespunError):
            self._behind.wait()

    def rewind(self, state: State, limit: Limit, metrics: RowLog) -> bool:
        """Go back to the last good checkpoint and leave out the batches read since.

        `trainee`, `state`, `limit` and the rows of `metrics` become what they were then. Until the
        checkpoint that says so is in place, a killed process goes on from another one, meets the
        same steps and goes back likewise; from then on it concludes this one (`resume`).

        Returns:
            False where there is no checkpoint to go back to; nothing was changed then.
        """
        self.finish()
        loaded = self._load(max(0, state.anchor_step))
        if loaded is None:
            return False
        past, before = loaded.state, state.step
        past.left_out = state.left_out + self._config.num_micro_batches * (before - past.step)
        past.rewinds, past.rewinds_here = state.rewinds + 1, state.rewinds_here + 1
        past.rewound_step = max(state.rewound_step, before)
        past.skipped, past.skipped_in_a_row, past.large_gradients = state.skipped, 0, 0
        past.parts, past.peak_memory_bytes = state.parts, state.peak_memory_bytes
        past.saving_seconds = state.saving_seconds
        past.evaluating_seconds = state.evaluating_seconds
        finding = rewound(past, before, self._config.spikes.max_rewinds)
        past.findings.append(finding.row())
        vars(state).update(vars(past))
        limit.go_back(state.progress)
        self._saved_step = -1
        self.save(state, limit, metrics, keep=1 << 30)
        self.finish()
        if self._trainee.world.is_leader:
            remove_newer(self._stage_dir, state.step)
        metrics.go_back(state.step, is_evaluated=state.evaluated_step == state.step)
        return True

    def load(self, step: int) -> bool:
        """Give the trainee the checkpoint of `step`, which is what the stage then ends with; False
        where it is damaged, gone or cannot be read, and nothing was changed then."""
        self.finish()
        if not self._has(step):
            return False
        loaded = self._load(step)
        assert loaded is not None
        self.newest = Path(loaded.path)
        return True

    def _has(self, step: int, *, if_unreadable: bool = False) -> bool:
        """Whether there is a whole checkpoint of `step`; `if_unreadable` of one that cannot be
        read, which stays as it is: training can do without it."""

        def look() -> bool:
            try:
                return is_whole(self._stage_dir, step)
            except RunError as error:
                self._progress.say(f"going on without a checkpoint: {error.what}")
                return if_unreadable

        return self._trainee.world.lead(look)

    def _load(self, newest: int | None) -> _Loaded | None:
        """Give the trainee the newest checkpoint, of steps up to `newest` where that is given."""
        loaded: Checkpoint | None = None

        def read() -> dict[str, Any] | None:
            nonlocal loaded
            loaded = load_checkpoint(self._stage_dir, progress=self._progress, newest=newest)
            return None if loaded is None else {"path": str(loaded.path), "state": loaded.state}

        found = self._trainee.world.lead(read)
        if found is None:
            return None
        self._trainee.restore(loaded)
        state = State.from_json(found["state"])
        return _Loaded(state.step, state, found["path"])

    def _write(self, state: State) -> Path:
        """The files of a checkpoint, not yet durable. All processes take part."""
        weights, optimizer = self._trainee.weights(), self._trainee.optimizer_state()

        def write() -> str:
            try:
                return str(
                    write_checkpoint(self._stage_dir, state.step, weights, optimizer, asdict(state))
                )
            finally:
                take_part()

        def take_part() -> None:
            drain(weights)
            drain(optimizer)

        if not self._trainee.world.is_leader:
            take_part()
        return Path(self._trainee.world.lead(write))

    def _is_anchor(self, state: State) -> bool:
        """Whether the run may go back to this step."""
        if state.skipped_in_a_row:
            return False
        return self._interval is None or state.step % self._interval == 0
