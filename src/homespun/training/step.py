"""One optimiser step: losses of the micro batches, their gradient, its norm, the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from homespun.core import BudgetError, Objective
from homespun.core.machine import is_out_of_memory
from homespun.training.distributed.whole import Spread, Stepper, Whole


class ShortOfMemory(RuntimeError):  # noqa: N818 - no error yet: smaller parts may do
    """A process had not enough memory for its rows; raised on all of them, none of which wait for
    another any more. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("there is not enough memory for a training step")


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
        ShortOfMemory: a process had not enough for its rows; its gradients are still there.
        BudgetError: there is no memory for the update; the weights may be half updated.
        RuntimeError, MemoryError: not enough memory where others wait at once (`is_lockstep`).
    """
    spread = spread or Whole(model)
    own, is_short = _Sums(), False
    try:
        _learn(model, objective, batches, spread, own)
    except (RuntimeError, MemoryError) as error:
        # The others wait for this process's gradient, and learn with it that it is of no use.
        if spread.is_lockstep or not is_out_of_memory(error):
            raise
        is_short = True
    if is_short:
        # Out here the error is gone, and with it the tensors its frames held on to.
        spread.clear()
    # Asked for always: other processes wait for this one's.
    gradients = spread.gradients()
    counts = (own.loss, own.num_targets, own.num_tokens, is_short)
    loss_sum, all_targets, all_tokens, num_short = spread.world.total(counts)
    if num_short:
        del gradients
        raise ShortOfMemory
    num_targets = round(all_targets)
    sums = spread.world.total(list(own.metrics.values())) if own.metrics else []
    metrics = {n: v / num_targets for n, v in zip(own.metrics, sums, strict=True) if num_targets}
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


@dataclass
class _Sums:
    """Of this process's batches. All processes have the same names among `metrics`, since an
    objective gives them for batches without a target too."""

    loss: float = 0.0
    num_targets: int = 0
    num_tokens: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def _learn(
    model: nn.Module, objective: Objective, batches: Iterable[Any], spread: Spread, sums: _Sums
) -> None:
    """Pass every batch forwards and backwards."""
    for batch, is_last in _marking_last(batches):
        output = objective.loss(model, batch)
        sums.num_tokens += batch.num_tokens
        for name, value in output.metrics.items():
            value = value * output.num_targets if output.num_targets else 0.0
            sums.metrics[name] = sums.metrics.get(name, 0.0) + value
        if output.num_targets == 0 and not spread.is_lockstep:
            continue
        spread.backward(output.loss_sum, is_last=is_last)
        sums.loss += float(output.loss_sum.detach())
        sums.num_targets += output.num_targets


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
