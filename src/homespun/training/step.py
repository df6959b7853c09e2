"""One optimiser step: losses of the micro batches, their gradient, its norm, the update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from homespun.core import Objective
from homespun.training.optim import Optimizer


class StepOutcome(NamedTuple):
    """Attributes:
    loss: nats per target, may be NaN or infinite where the step was skipped.
    grad_norm: global norm of the gradient of `loss`, before clipping.
    num_tokens: seen.
    is_skipped: loss or gradient was not finite, or there was no target; nothing was changed.
    metrics: the objective's own numbers, averaged over the targets.
    """

    loss: float
    grad_norm: float
    num_tokens: int
    is_skipped: bool
    metrics: dict[str, float]


def take_step(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    lr_scale: float,
    clip_norm: float,
) -> StepOutcome:
    """Sum the gradients of `batches`, and update `model` unless something is not finite.

    Gradients are of summed losses and divided by the number of targets of all batches at the end,
    so how targets are spread over micro batches does not matter.

    Args:
        model: gradients must be None on entry; they are again on return.
        objective: called once a batch.
        batches: micro batches of this step.
        optimizer: applies the gradient.
        lr_scale: the schedule's factor.
        clip_norm: largest gradient norm.
    """
    loss_sum, num_targets, num_tokens = 0.0, 0, 0
    metrics: dict[str, float] = {}
    for batch in batches:
        output = objective.loss(model, batch)
        num_tokens += batch.num_tokens
        if output.num_targets == 0:
            continue
        output.loss_sum.backward()  # type: ignore[no-untyped-call]
        loss_sum += float(output.loss_sum.detach())
        num_targets += output.num_targets
        for name, value in output.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value * output.num_targets
    metrics = {name: value / num_targets for name, value in metrics.items()}
    loss = loss_sum / num_targets if num_targets else math.nan
    grad_norm = _clip(model, num_targets, clip_norm) if math.isfinite(loss) else math.nan
    is_skipped = not math.isfinite(loss) or not math.isfinite(grad_norm)
    if not is_skipped:
        optimizer.step(lr_scale)
    model.zero_grad(set_to_none=True)
    return StepOutcome(loss, grad_norm, num_tokens, is_skipped, metrics)


def _clip(model: nn.Module, num_targets: int, clip_norm: float) -> float:
    """Divide the summed gradients by the targets and clip them, in one pass; returns the norm."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not gradients:
        return 0.0
    norm = float(torch.nn.utils.get_total_norm(gradients)) / num_targets
    if math.isfinite(norm):
        factor = min(1.0, clip_norm / max(norm, 1e-12)) / num_targets
        torch._foreach_mul_(gradients, factor)
    return norm
