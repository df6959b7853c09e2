"""One optimiser step of a stage: which batches, which learning rate, and the row of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from homespun.core import Objective, derive_seed
from homespun.models.native import load_kernels, use_kernels
from homespun.training.config import TrainConfig
from homespun.training.data import BatchSource
from homespun.training.limits import Limit
from homespun.training.stage.state import State, finite
from homespun.training.stage.trainee import Trainee
from homespun.training.step import StepOutcome, take_step


class Steps:
    """Makes steps. A step is a function of (trainee, state) alone.

    Args:
        trainee: is changed by each step.
        objective: turns a batch into a loss.
        source: gives batch number so-and-so.
        config: the stage's.

    Raises:
        ConfigError: the stage wants compiled kernels and there is no compiler here.
    """

    def __init__(
        self, trainee: Trainee, objective: Objective, source: BatchSource, config: TrainConfig
    ) -> None:
        self._trainee, self._objective = trainee, objective
        self._source, self._config = source, config
        self._kernels = load_kernels() if config.kernels == "native" else None

    def step(self, state: State, limit: Limit) -> dict[str, Any]:
        """Make one step and count it in `state`; returns its row."""
        config = self._config
        began = time.perf_counter()
        (state.progress,) = self._trainee.world.from_leader([limit.progress(state.step)])
        scale = config.schedule.scale(state.progress)
        self._trainee.optimizer.set_progress(state.progress)
        outcome = self._take(state, scale)
        took = time.perf_counter() - began
        limit.took(took)
        state.step += 1
        state.tokens += outcome.num_tokens
        state.skipped += outcome.is_skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if outcome.is_skipped else 0
        return {
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

    def epochs(self, state: State) -> float:
        """How often the data was seen."""
        return self._source.epochs(state.step * self._config.num_micro_batches)

    def _take(self, state: State, lr_scale: float) -> StepOutcome:
        rank = self._trainee.world.rank
        names = ("step", state.step, "process", rank) if rank else ("step", state.step)
        torch.manual_seed(derive_seed(self._config.seed, *names))
        self._trainee.model.train()
        with use_kernels(self._kernels):
            return take_step(
                self._trainee.model,
                self._objective,
                self._batches(state),
                self._trainee.optimizer,
                lr_scale=lr_scale,
                clip_norm=self._config.clip_norm,
                spread=self._trainee.spread,
            )

    def _batches(self, state: State) -> Iterator[Any]:
        """The micro batches of the step that follows `state`."""
        num = self._config.num_micro_batches
        for index in range(state.step * num, (state.step + 1) * num):
            batch = self._trainee.spread.share(self._source.batch(index))
            yield batch.to(self._trainee.device)
