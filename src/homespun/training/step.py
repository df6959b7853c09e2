"""One optimiser step: losses of the micro batches, their gradient, its norm, the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from homespun.core import BudgetError, Objective
from homespun.training.distributed.whole import Spread, Stepper, Whole
from homespun.training.health import is_out_of_memory


class StepOutcome(NamedTuple):
    """Attributes:
    loss: nats per target, may be NaN or infinite where the step was skipped.
    grad_norm: global norm of the gradient of `loss`, before clipping.
    num_tokens: seen.
    skipped: why nothing was changed, in a word or two; "" where the step was taken.
    metrics: the objective's own numbers, averaged over the targets.
    """

    loss: float
    grad_norm: float
    num_tokens: int
    skipped: str
    metrics: dict[str, float]

    @property
    def is_skipped(self) -> bool:
        return bool(self.skipped)


def take_step(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[Any],
    optimizer: Stepper,
    *,
    lr_scale: float,
    clip_norm: float,
    spread: Spread | None = None,
    refuse: Callable[[float, float], str] | None = None,
) -> StepOutcome:
    """Sum the gradients of `batches`, and update `model` unless something is not finite.

    Gradients are of summed losses and divided by the number of targets of all batches on all
    processes at the end, so how targets are spread over either does not matter.

    Args:
        model: gradients must be None on entry; they are again on return.
        objective: called once a batch.
        batches: micro batches of this step, this process's rows of them.
        optimizer: applies the gradient.
        lr_scale: the schedule's factor.
        clip_norm: largest gradient norm.
        spread: how the model lies on several processes; None for this one alone.
        refuse: `(loss, grad_norm) -> why` for a step that is not to be taken, "" for others.

    Raises:
        BudgetError: there is no memory for the update; the weights may be half updated.
    """
    spread = spread or Whole(model)
    loss_sum, num_targets, num_tokens = 0.0, 0, 0
    sums: dict[str, float] = {}
    for batch, is_last in _marking_last(batches):
        output = objective.loss(model, batch)
        num_tokens += batch.num_tokens
        if output.num_targets == 0 and not spread.is_lockstep:
            continue
        spread.backward(output.loss_sum, is_last=is_last)
        loss_sum += float(output.loss_sum.detach())
        num_targets += output.num_targets
        for name, value in output.metrics.items():
            value = value * output.num_targets if output.num_targets else 0.0
            sums[name] = sums.get(name, 0.0) + value
    # Asked for always: other processes wait for this one's.
    gradients = spread.gradients()
    counts = (loss_sum, num_targets, num_tokens)
    loss_sum, all_targets, all_tokens, *rest = spread.world.total([*counts, *sums.values()])
    num_targets = round(all_targets)
    metrics = {n: value / num_targets for n, value in zip(sums, rest, strict=True) if num_targets}
    loss = loss_sum / num_targets if num_targets else math.nan
    is_finite = math.isfinite(loss)
    grad_norm = _clip(spread, gradients, num_targets, clip_norm) if is_finite else math.nan
    is_finite = is_finite and math.isfinite(grad_norm)
    skipped = "" if is_finite else "not finite"
    if is_finite and refuse is not None:
        skipped = refuse(loss, grad_norm)
    if not skipped:
        _update(optimizer, lr_scale)
    spread.clear()
    return StepOutcome(loss, grad_norm, round(all_tokens), skipped, metrics)


def _update(optimizer: Stepper, lr_scale: float) -> None:
    try:
        optimizer.step(lr_scale)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # A step with smaller micro batches cannot mend this, and some weights may have moved.
        raise BudgetError(
            "there is no memory for the optimiser's state",
            remedy="close other programs or choose a smaller model, and run again",
        ) from error


def _marking_last(batches: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each batch, and whether none follows; the next one is made before this one is used."""
    iterator = iter(batches)
    batch = next(iterator, None)
    while batch is not None:
        following = next(iterator, None)
        yield batch, following is None
        batch = following


def _clip(spread: Spread, gradients: Sequence[Tensor], num_targets: int, clip_norm: float) -> float:
    """Divide the summed gradients by the targets and clip them, in one pass; returns the norm."""
    norm = spread.norm(gradients) / num_targets
    if math.isfinite(norm) and gradients:
        factor = min(1.0, clip_norm / max(norm, 1e-12)) / num_targets
        torch._foreach_mul_(list(gradients), factor)
    return norm
