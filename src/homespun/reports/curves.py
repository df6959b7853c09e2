"""Rows of metrics.jsonl as lines to draw: few enough points, and a smooth one among the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        validation: loss on text that was held out.
        rate: learning rate.
        unit: of the losses.
        last_step: steps made.
        span: steps that the running mean looks back, for the caption.
    """

    train: Points
    smooth: Points
    validation: Points
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
    span = max(1, len(train) // 40)
    return Curves(
        train=thin(train),
        smooth=thin(running_mean(train, span)),
        validation=thin(validation),
        rate=thin(rate),
        unit="bits per byte" if bytes_per_token else "nats per token",
        last_step=int(max(step for step, _ in (*train, *validation))),
        span=span,
    )


def running_mean(points: Sequence[tuple[float, float]], span: int) -> Points:
    """Exponential mean that looks back about `span` points.

    Its weights are divided by their sum, so that the beginning is not pulled towards zero
    (Kingma & Ba 2015, arXiv 1412.6980, section 3).
    """
    keep = 1 - 1 / span
    total = weight = 0.0
    smooth = []
    for x, y in points:
        total = keep * total + (1 - keep) * y
        weight = keep * weight + (1 - keep)
        smooth.append((x, total / weight))
    return smooth


def thin(points: Points, most: int = MAX_POINTS) -> Points:
    """At most `most` of the points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]
