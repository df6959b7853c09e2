"""The best loss that so many operations can reach, foretold beyond the runs there are.

    L(C) = floor + k C^-gamma

along a sweep's lower edge, one point for each budget (approach 1 of Hoffmann et al. 2022, arXiv
2203.15556, section 3.1). The law of N and D is fitted to all runs, most of which are off the edge:
too large and hardly begun, or too small. Ten times further than its runs it has been 3 to 4% off;
the edge has not (`benchmarks/law_backtest.py`).

A factor of 30 in C does not tell the floor, and what it does not tell is not fitted: see `FLOOR`.
"""

from __future__ import annotations

import math

import numpy as np

from homespun.core import DataError
from homespun.scaling.isoflop import LEAST_BUDGETS, TOO_FEW
from homespun.scaling.law import Law, Prediction
from homespun.scaling.loss import Array

FLOOR = 0.6
"""Bits per byte that no model of text goes below: 1.69 and 1.82 nats for a token of 4.4 bytes or so
(Hoffmann et al. 2022; Besiroglu et al. 2024)."""
FLOORS = (0.0, 0.9)
"""Between which it may lie, for the interval."""
_LARGEST_SHARE = 0.9  # of the lowest loss: a floor right below what was reached is none
_NUM_DRAWS = 4000


def edge_points(law: Law) -> tuple[Array, Array]:
    """Operations and nats per token of the sweep's lower edge, (b,) each, least operations first:
    a parabola's lowest point where that lies inside the sizes tried, else the best run's. A budget
    with too few sizes for a parabola has no edge."""
    if law.envelope is None:  # of three budgets or more
        return np.empty(0), np.empty(0)
    reached = dict(zip(law.envelope["budgets"], law.envelope["losses"], strict=True))
    lines = [line for line in law.frontier["parabolas"] if line["why_not"] != TOO_FEW]
    budgets = [line["budget"] for line in lines]
    losses = [line["loss"] or reached[line["budget"]] for line in lines]
    return np.array(budgets), np.array(losses)


def has_edge(law: Law) -> bool:
    """Whether there are budgets enough to foretell from."""
    return len(edge_points(law)[0]) >= LEAST_BUDGETS


def foretell(law: Law, flops: float, *, level: float = 95.0, seed: int = 0) -> Prediction:
    """The loss of the best run of so many operations, nats per token, and an interval that `level`%
    of such runs fall in.

    The interval holds what one run differs from another, on the edge and in the run to come, and
    that the floor lies anywhere within `FLOORS`.

    Raises:
        DataError: the law has too few budgets, see `has_edge`.
    """
    budgets, losses = edge_points(law)
    if len(budgets) < LEAST_BUDGETS:
        raise DataError(
            f"a lower edge needs {LEAST_BUDGETS} budgets",
            got=len(budgets),
            remedy="sweep more of them",
        )
    x = np.log(budgets / flops)
    middle = float(_at_zero(x, losses[None], _floors(law, losses[None], np.array([FLOOR])))[0])
    generator = np.random.Generator(np.random.PCG64(seed))
    shape = (_NUM_DRAWS, len(losses))
    drawn = losses * np.exp(generator.normal(0.0, law.noise, shape))
    floors = _floors(law, drawn, generator.uniform(*FLOORS, _NUM_DRAWS))
    reached = _at_zero(x, drawn, floors) * np.exp(generator.normal(0.0, law.noise, _NUM_DRAWS))
    tail = (100.0 - level) / 2
    low, high = (float(v) for v in np.percentile(reached, [tail, 100.0 - tail]))
    return Prediction(middle, min(low, middle), max(high, middle))


def foretell_obvious(law: Law, flops: float) -> float:
    """The middle of `foretell`, by the two numbers of a line."""
    budgets, losses = edge_points(law)
    floor = FLOOR * law.nats_per_bit
    x = [math.log(budget) for budget in budgets]
    y = [math.log(loss - floor) for loss in losses]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope /= sum((a - mean_x) ** 2 for a in x)
    return floor + math.exp(mean_y + slope * (math.log(flops) - mean_x))


def best_size(law: Law, flops: float) -> float | None:
    """N* at so many operations, on the line through the lowest points of the parabolas; None where
    fewer than `LEAST_BUDGETS` of them have theirs inside the sizes tried."""
    found = [
        (math.log(line["budget"]), math.log(line["parameters"]))
        for line in law.frontier["parabolas"]
        if line["parameters"] is not None
    ]
    if len(found) < LEAST_BUDGETS:
        return None
    x, y = np.array(found).T
    slope, level = (float(v) for v in np.polyfit(x, y, 1))
    return math.exp(level + slope * math.log(flops))


def _floors(law: Law, losses: Array, bits: Array) -> Array:
    """Nats per token, (S,)."""
    nats: Array = np.minimum(bits * law.nats_per_bit, _LARGEST_SHARE * losses.min(axis=1))
    return nats


def _at_zero(x: Array, losses: Array, floors: Array) -> Array:
    """For each row the line of ln(loss - floor) over x, at x = 0: (S,)."""
    y = np.log(losses - floors[:, None])
    away = x - x.mean()
    slope = (y * away).sum(axis=1) / np.square(away).sum()
    values: Array = floors + np.exp(y.mean(axis=1) - slope * x.mean())
    return values
