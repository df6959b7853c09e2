"""Checks that need only the numbers a step gives anyway, and those of evaluations.

Each is a plain function of numbers that gives a Finding or None, so that it can be read, and
tested, by itself. What they compare with is remembered in `Memory`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from homespun.training.health.findings import Finding

Expected = Callable[[int, float], tuple[float, float]]
"""`(tokens seen, share of the stage done) -> (low, high)` nats per target a run should show."""

WARM_UP = 0.1  # share of a stage in which losses and gradients say little yet
GRADIENT_GROWTH = 6.0
GAP = 0.15  # share of the training loss by which validation may lie above it
RISE = 0.02  # share by which validation may rise above its best
RISES = 3  # evaluations in a row that it may do so
STALL = 0.2  # share of a step that may be spent waiting for its batch
SLOW = 0.6  # share of the best speed below which other programs are suspected
FEW = 20  # steps that a speed is the median of


@dataclass
class Memory:
    """What the checks compare with; JSON values, part of a stage's state.

    Attributes:
        least_gradient: the lowest median gradient norm so far above 0; 0 before there is one.
        best_validation: the lowest validation loss so far; None before the first.
        rises: evaluations in a row that lay above it by more than `RISE`.
    """

    least_gradient: float = 0.0
    best_validation: float | None = None
    rises: int = 0


def against_curve(
    step: int, loss: float, band: tuple[float, float], *, slack: float = 0.02
) -> Finding | None:
    """Whether `loss`, the median of the newest steps, lies outside of what was predicted."""
    low, high = band[0] * (1 - slack), band[1] * (1 + slack)
    if loss > high:
        return Finding(
            "above_prediction",
            step,
            loss,
            high,
            f"The loss, {loss:.3f}, is above the {band[0]:.3f} to {band[1]:.3f} predicted for this "
            "point: the text is harder than that of the prediction, or the learning rate does not "
            "suit this model; try half of it, and look at the text's samples.",
        )
    if loss < low:
        return Finding(
            "below_prediction",
            step,
            loss,
            low,
            f"The loss, {loss:.3f}, is below the {band[0]:.3f} to {band[1]:.3f} predicted for this "
            "point: good news if the text is plain and repetitive; else look for text that occurs "
            "many times.",
        )
    return None


def gradient_growth(step: int, grad_norms: Sequence[float], memory: Memory) -> Finding | None:
    """Whether the median gradient norm has grown far above its lowest."""
    if len(grad_norms) < FEW:  # they are counted anew where steps with large ones were let pass
        return None
    now = statistics.median(grad_norms)
    if not now:  # all that is learnt is known: nothing can be so many times as long as that
        return None
    if not memory.least_gradient or now < memory.least_gradient:
        memory.least_gradient = now
    threshold = GRADIENT_GROWTH * memory.least_gradient
    if now < threshold:
        return None
    return Finding(
        "gradient_growth",
        step,
        now,
        threshold,
        f"The gradient is {now / memory.least_gradient:.0f} times as long as it was "
        f"({now:.3g} against {memory.least_gradient:.3g}), which often comes before training goes "
        "wrong: a smaller learning rate is safer.",
    )


def overfitting(step: int, validation: float, losses: Sequence[float]) -> Finding | None:
    """Whether validation lies far above training."""
    if len(losses) < FEW:
        return None
    train = statistics.median(losses)
    threshold = train * (1 + GAP)
    if validation <= threshold:
        return None
    return Finding(
        "train_validation_gap",
        step,
        validation,
        threshold,
        f"Text held out costs {validation / max(train, 1e-9) - 1:.0%} more than training text "
        f"({validation:.3f} against {train:.3f} nats): the model learns its text by heart. More "
        "text helps; fewer readings or a smaller model do once the loss on text held out rises.",
    )


def validation_rises(step: int, validation: float, memory: Memory) -> Finding | None:
    """Whether validation has been getting worse for several evaluations."""
    best = memory.best_validation
    if best is None or validation < best:
        memory.best_validation, memory.rises = validation, 0
        return None
    threshold = best * (1 + RISE)
    memory.rises = memory.rises + 1 if validation > threshold else 0
    if memory.rises < RISES:
        return None
    return Finding(
        "validation_rises",
        step,
        validation,
        threshold,
        f"The loss on text held out was {best:.3f} and has risen to {validation:.3f}: going on "
        "makes the model worse. Train for less time, or add text.",
    )


def data_stall(step: int, waited: float, took: float) -> Finding | None:
    """Whether steps wait for their batches. Both in seconds, over the same steps."""
    share = waited / max(took, 1e-9)
    if share <= STALL:
        return None
    return Finding(
        "data_stall",
        step,
        share,
        STALL,
        f"Training waits for its text {share:.0%} of the time: put the run on a quicker disk, or "
        "leave more memory free so that the text stays in it.",
    )


def slow(step: int, speeds: Sequence[float], best: float) -> Finding | None:
    """Whether the newest tokens per second are far below the best."""
    now = statistics.median(speeds)
    if now >= SLOW * best:
        return None
    return Finding(
        "slow",
        step,
        now,
        SLOW * best,
        f"Training has slowed down to {now:,.0f} tokens a second from {best:,.0f}: other programs "
        "are using this machine, or it is too hot. Close them to finish in time.",
    )


def median_loss(losses: Sequence[Any]) -> float:
    """NaN where there are none."""
    return statistics.median(losses) if losses else math.nan
