"""Rows of metrics.jsonl as lines to draw: few enough points, and a smooth one among the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from homespun.reports.collect import Rows, number

MAX_POINTS = 400
"""More than the page has room for is not seen, and makes the file large."""

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn of a stage; x is completed steps.

    Attributes:
        train: loss of single steps, thinned.
        smooth: their running mean.
        validation: loss on text that was held out, thinned.
        best: step and loss where it was lowest of all, None where it was never looked at.
        rate: learning rate.
        unit: of the losses.
        last_step: steps made.
        span: steps that the running mean is taken over, for the caption.
    """

    train: Points
    smooth: Points
    validation: Points
    best: tuple[float, float] | None
    rate: Points
    unit: str
    last_step: int
    span: int


def curves_of(rows: Rows, *, bytes_per_token: float | None) -> Curves | None:
    """The curves of a stage, or None where it has no rows.

    Args:
        rows: of metrics.jsonl, in order.
        bytes_per_token: turns nats per token into bits per byte, which compares across
            tokenizers; None leaves nats per token.
    """
    factor = 1.0 if not bytes_per_token else 1 / (math.log(2) * bytes_per_token)
    train, validation, rate = [], [], []
    for row in rows:
        step, loss = number(row, "step"), number(row, "loss")
        if step is None:
            continue
        if row.get("kind") == "train":
            if loss is not None:
                train.append((step, loss * factor))
            if (value := number(row, "lr")) is not None:
                rate.append((step, value))
        elif row.get("kind") == "eval":
            bits = number(row, "bits_per_byte") if bytes_per_token else None
            if bits is not None:
                validation.append((step, bits))
            elif loss is not None:
                validation.append((step, loss * factor))
    if not train and not validation:
        return None
    span = 2 * (len(train) // 80) + 1  # odd: as many steps on either side
    return Curves(
        train=thin(train),
        smooth=thin(running_mean(train, span)),
        validation=thin(validation),
        best=min(validation, key=lambda point: point[1], default=None),
        rate=thin(rate),
        unit="bits per byte" if bytes_per_token else "nats per token",
        last_step=int(max(step for step, _ in (*train, *validation))),
        span=span,
    )


def running_mean(points: Sequence[tuple[float, float]], span: int) -> Points:
    """Each y replaced by the mean of those up to `span` // 2 places before and after it.

    Looking both ways, the mean does not lag behind a curve that falls. At the beginning, where it
    falls fastest, the window is as narrow as there are points before.
    """
    sums = [0.0, *accumulate(y for _, y in points)]
    smooth = []
    for at, (x, _) in enumerate(points):
        reach = min(span // 2, at)
        first, last = at - reach, min(at + reach, len(points) - 1)
        smooth.append((x, (sums[last + 1] - sums[first]) / (last + 1 - first)))
    return smooth


def thin(points: Points, most: int = MAX_POINTS) -> Points:
    """At most `most` of the points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]
