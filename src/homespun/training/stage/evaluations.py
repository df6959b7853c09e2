"""Evaluations between steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from homespun.core import Objective
from homespun.models.native import kernels_by_name, use_kernels
from homespun.training.config import TrainConfig
from homespun.training.distributed import World
from homespun.training.limits import Limit
from homespun.training.metrics import RowLog
from homespun.training.stage.state import State, finite

Evaluate = Callable[[nn.Module, int], Mapping[str, Any]]


def held_out_loss(model: nn.Module, objective: Objective, batches: Iterable[Any]) -> dict[str, Any]:
    """An evaluation's values: mean nats a target over batches, which go to the model's device; NaN
    where they hold no target, since 0 would be the best of all losses."""
    device = next(model.parameters()).device
    total, num = 0.0, 0
    for batch in batches:
        output = objective.loss(model, batch.to(device))
        total += float(output.loss_sum)
        num += output.num_targets
    return {"loss": total / num if num else math.nan, "split": "validation"}


class Evaluations:
    """Calls `evaluate` when it is due and writes its rows.

    Args:
        model: handed to `evaluate`, in evaluation mode and without gradients.
        evaluate: see `training.loop.train`; None for no evaluations.
        config: the stage's.
        settle: called after each.
        world: the processes, of which the leader's clock and numbers count.
    """

    def __init__(
        self,
        model: nn.Module,
        evaluate: Evaluate | None,
        config: TrainConfig,
        *,
        settle: Callable[[], None] = lambda: None,
        world: World | None = None,
    ) -> None:
        self._model, self._evaluate, self._config = model, evaluate, config
        self._settle, self._world = settle, world or World()
        self._kernels = kernels_by_name(config.kernels)

    def is_due(self, state: State, share_before: float, limit: Limit) -> bool:
        """After the step just made; `share_before` is the progress before it."""
        if self._evaluate is None:
            return False
        steps, share = self._config.eval_steps, self._config.eval_share
        if steps and state.step % steps == 0:
            return True
        if share is None:
            return False
        if state.progress // share <= share_before // share:
            return False
        most = self._config.eval_cost
        if most is None or self._config.seconds is None:
            return True
        # Whether there is time for it is the one thing here that processes may see differently.
        spent = state.evaluating_seconds + limit.evaluation_seconds
        return self._world.agreed(spent <= most * limit.used() or state.evaluated_step < 0)

    def is_missing(self, state: State) -> bool:
        """Whether the step just made was not evaluated."""
        return self._evaluate is not None and state.evaluated_step != state.step

    def run(self, state: State, limit: Limit, metrics: RowLog) -> None:
        """Write a row of kind "eval", and rows of kind "sample" where there are texts."""
        assert self._evaluate is not None
        began = time.monotonic()
        values = self._values(self._evaluate, state.step)
        samples = values.pop("samples", ())
        values = {key: finite(value) for key, value in values.items()}
        state.evaluated_step = state.step
        state.evaluation = values
        place = {"step": state.step, "tokens": state.tokens}
        seconds = {"seconds": round(limit.used(), 3)}
        metrics.write({"kind": "eval", **place, **values, **seconds})
        for sample in samples:
            metrics.write({"kind": "sample", "step": state.step, **sample})
        took = time.monotonic() - began
        state.evaluating_seconds += took
        limit.reserve(evaluation=took)

    def measure(self, evaluate: Evaluate, step: int, name: str = "loss") -> float:
        """The leader's `name` by `evaluate`; where it is no number, an infinite "loss" and an
        infinitely low other value. Writes nothing."""
        value = finite(self._values(evaluate, step).get(name))
        worst = math.inf if name == "loss" else -math.inf
        return self._world.from_leader([worst if value is None else float(value)])[0]

    def _values(self, evaluate: Evaluate, step: int) -> dict[str, Any]:
        self._model.eval()
        with torch.no_grad(), use_kernels(self._kernels):
            values = dict(evaluate(self._model, step))
        self._settle()
        return values
