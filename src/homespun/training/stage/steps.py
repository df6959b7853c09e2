"""One optimiser step of a stage: which batches, which learning rate, and the row of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from homespun.core import BudgetError, Objective, derive_seed
from homespun.core.machine import is_out_of_memory
from homespun.models.native import kernels_by_name, use_kernels
from homespun.training.config import TrainConfig
from homespun.training.data import BatchSource
from homespun.training.health import of_kind, why_skip
from homespun.training.limits import Limit
from homespun.training.stage.parts import ask_for_parts
from homespun.training.stage.state import State, finite
from homespun.training.stage.trainee import Trainee
from homespun.training.step import ShortOfMemory, StepOutcome, take_step

_RARER = 16
"""Windows of steps that are kept where several tasks are learned by turns."""


class Steps:
    """Makes steps. A step is a function of (trainee, state) alone.

    Args:
        trainee: is changed by each step.
        objective: turns a batch into a loss.
        source: gives batch number so-and-so.
        config: the stage's.
        stage_dir: the stage's folder, where what the next start is to do differently is left.

    Attributes:
        waited, took: seconds of the newest step for its batches, and in all.

    Raises:
        ConfigError: the stage wants compiled kernels and there is no compiler here.
    """

    def __init__(
        self,
        trainee: Trainee,
        objective: Objective,
        source: BatchSource,
        config: TrainConfig,
        stage_dir: Path,
    ) -> None:
        self._trainee, self._objective = trainee, objective
        self._source, self._config, self._stage_dir = source, config, stage_dir
        self._kernels = kernels_by_name(config.kernels)
        self.waited = self.took = 0.0

    def step(self, state: State, limit: Limit) -> dict[str, Any]:
        """Make one step and count it in `state`; returns its row.

        Raises:
            BudgetError: one row of a batch does not fit into memory.
        """
        config = self._config
        began = time.perf_counter()
        self.waited = 0.0
        (state.progress,) = self._trainee.world.from_leader([limit.progress(state.step)])
        scale = config.schedule.scale(state.progress) * self._rate_factor(state)
        self._trainee.optimizer.set_progress(state.progress)
        outcome = self._take_in_parts(state, scale)
        if self._trainee.average is not None and not outcome.is_skipped:
            self._trainee.average.update(state.progress)
        self.took = took = time.perf_counter() - began
        limit.took(took)
        self._count(state, outcome)
        row = {
            "kind": "train",
            "step": state.step,
            "tokens": state.tokens,
            "epoch": self.epochs(state),
            "loss": finite(outcome.loss),
            "lr": config.optimizer.learning_rate * scale,
            "grad_norm": finite(outcome.grad_norm),
            "skipped": outcome.is_skipped,
            "seconds": round(limit.used(), 3),
            "tokens_per_second": round(outcome.num_tokens / max(took, 1e-9), 1),
            **{name: finite(value) for name, value in outcome.metrics.items()},
        }
        return {**row, "skipped_for": outcome.skipped} if outcome.is_skipped else row

    def epochs(self, state: State) -> float:
        """How often the data was seen."""
        return self._source.epochs(self.next_batch(state))

    def next_batch(self, state: State) -> int:
        """The number of the source's batch that the next step begins with."""
        return state.step * self._config.num_micro_batches + state.left_out

    def _indices(self, state: State) -> range:
        """Of the next step's micro batches in the source."""
        first = self.next_batch(state)
        return range(first, first + self._config.num_micro_batches)

    def _kind(self, state: State) -> int | None:
        """The task that the next step learns, where the source has several; -1 for some at once."""
        task_of = getattr(self._source, "task_of", None)
        if task_of is None:
            return None
        tasks = {int(task_of(index)) for index in self._indices(state)}
        return tasks.pop() if len(tasks) == 1 else -1

    def _count(self, state: State, outcome: StepOutcome) -> None:
        kind = self._kind(state)
        state.step += 1
        state.tokens += outcome.num_tokens
        state.skipped += outcome.is_skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if outcome.is_skipped else 0
        state.large_gradients = state.large_gradients + 1 if outcome.skipped == "gradient" else 0
        if not outcome.is_skipped:
            window = self._config.spikes.window
            if kind is not None:  # each task wants a window of its own steps
                window *= _RARER
            state.losses = [*state.losses, outcome.loss][-window:]
            state.grad_norms = [*state.grad_norms, outcome.grad_norm][-window:]
            if kind is not None:
                state.kinds = [*state.kinds, kind][-window:]
            if state.step > state.rewound_step:
                state.rewinds_here = 0

    def _take_in_parts(self, state: State, lr_scale: float) -> StepOutcome:
        """Take the step; where memory does not suffice, on whichever process, all cut the micro
        batches and begin it again.

        The gradient is a sum over rows, so it stays the same up to the order of summation; but for
        dropout, which draws anew for each part."""
        while True:
            try:
                return self._take(state, lr_scale)
            except ShortOfMemory:
                pass
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._trainee.world.size > 1:
                    raise self._stuck(state) from error
            # Out here the error is gone, and with it the tensors its frames held on to.
            self._trainee.spread.clear()
            if self._trainee.device.type == "cuda":
                torch.cuda.empty_cache()
            parts, rows = self._parts(state), self._rows(state)
            if parts >= max(1, rows // self._trainee.world.size):
                what = "a batch that cannot be cut" if rows == 0 else "a single row of text"
                smaller = "batch" if rows == 0 else "context"
                raise BudgetError(
                    f"there is not enough memory for a training step on {what}",
                    remedy=f"close other programs, or choose a smaller {smaller} or model",
                )
            state.parts = 2 * parts

    def _stuck(self, state: State) -> BudgetError:
        """Of a process whose neighbours wait inside of the model, where it cannot begin again: the
        next start of the stage does, in more parts."""
        world, parts = self._trainee.world, 2 * self._parts(state)
        remedy = "close other programs, use more processes or choose a smaller context"
        if parts <= self._rows(state) // world.size:
            ask_for_parts(self._stage_dir, parts)
            remedy = (
                f"run again, which goes on from the newest checkpoint and learns from a step's "
                f"rows in {parts} parts, one after another; or use more processes"
            )
        return BudgetError(f"process {world.rank} has not enough memory for a step", remedy=remedy)

    def conclude(self) -> None:
        """Leave the model as it is to be used, after the last step and its checkpoint."""
        self._trainee.conclude()

    def _rate_factor(self, state: State) -> float:
        """Of the learning rate, where the source's batches are not all of one size."""
        factor = getattr(self._source, "rate_factor", None)
        return 1.0 if factor is None else float(factor(self.next_batch(state)))

    def _take(self, state: State, lr_scale: float) -> StepOutcome:
        rank = self._trainee.world.rank
        names = ("step", state.step, "process", rank) if rank else ("step", state.step)
        seed_generators(derive_seed(self._config.seed, *names))
        self._trainee.model.train()
        spikes, kind = self._config.spikes, self._kind(state)
        losses, grad_norms = (
            of_kind(values, state.kinds, kind)[-spikes.window :]
            for values in (state.losses, state.grad_norms)
        )
        with use_kernels(self._kernels):
            return take_step(
                self._trainee.model,
                self._objective,
                self._batches(state),
                self._trainee.optimizer,
                lr_scale=lr_scale,
                clip_norm=self._config.clip_norm,
                spread=self._trainee.spread,
                refuse=lambda loss, grad_norm: why_skip(
                    loss, grad_norm, losses, grad_norms, spikes
                ),
            )

    def _batches(self, state: State) -> Iterator[Any]:
        """The micro batches of the step that follows `state`."""
        for index in self._indices(state):
            began = time.perf_counter()
            whole = self._source.batch(index)
            parts = self._num_parts(whole, state)
            batch = self._trainee.spread.share(whole)
            self.waited += time.perf_counter() - began
            for part in batch.split(parts) if parts > 1 else [batch]:
                yield part.to(self._trainee.device)

    def _parts(self, state: State) -> int:
        """That a micro batch is to be cut into."""
        return max(state.parts, self._trainee.parts)

    def _num_parts(self, batch: Any, state: State) -> int:
        """That every process cuts its rows of `batch` into: as many on each, since where weights
        are sharded all of them wait for one another in every part."""
        parts = self._parts(state)
        if parts == 1 or not hasattr(batch, "split"):
            return 1
        if self._trainee.world.size == 1:  # `split` makes fewer where there are fewer rows
            return parts
        return max(1, min(parts, int(batch.num_rows) // self._trainee.world.size))

    def _rows(self, state: State) -> int:
        """Of the largest micro batch; 0 where its batches cannot be cut."""
        batches = [self._source.batch(index) for index in self._indices(state)]
        return max(len(one.split(1 << 30)) if hasattr(one, "split") else 0 for one in batches)


def seed_generators(seed: int) -> None:
    """Seed those of torch that there are, as `torch.manual_seed` does. Where there is no
    accelerator that also notes how one would be seeded should it come to be used, and the stack it
    was called from: a millisecond, which is much beside a small model's step."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
