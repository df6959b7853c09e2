"""The compute-optimal size without a formula for the loss: one parabola for each budget.

Approach 2 of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.2): at a fixed number of operations
the loss over ln N is nearly a parabola; where its lowest points lie, budget by budget, gives
N* ~ C^a and D* ~ C^b. A minimum at the edge of the sizes tried is no minimum, so `a` and `b` are
given only where at least `LEAST_BUDGETS` budgets have theirs inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from homespun.scaling.fit import bootstrap_weights
from homespun.scaling.loss import Array

LEAST_BUDGETS = 3
LEAST_SIZES = 3
TOO_FEW = f"fewer than {LEAST_SIZES} sizes"


class Parabola(NamedTuple):
    """Loss = c0 + c1 ln N + c2 (ln N)^2 at one budget.

    Attributes:
        budget: operations.
        coefficients: c0, c1, c2, with ln N counted from `centre`.
        centre: mean ln N.
        parameters, loss: of the lowest point; None where it is not inside the sizes tried.
        tokens: budget / (operations a token of that size).
        why_not: what is wrong with the minimum, empty where nothing is.
    """

    budget: float
    coefficients: tuple[float, float, float]
    centre: float
    parameters: float | None
    loss: float | None
    tokens: float | None
    why_not: str


class Frontier(NamedTuple):
    """N* = n0 C^a and D* = d0 C^b over the budgets whose minimum is inside.

    Attributes:
        parabolas: one a budget.
        a, b: exponents; None where too few budgets have a minimum inside, or lose it in most draws.
        a_interval, b_interval: 95% of the bootstrap over runs.
        correlation: of a and b over the bootstrap; near -1, since C = 6 N D nearly.
    """

    parabolas: list[Parabola]
    a: float | None
    b: float | None
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    correlation: float | None


def frontier(
    budgets: Array,
    parameters: Array,
    tokens: Array,
    losses: Array,
    *,
    num_draws: int = 1000,
    seed: int = 0,
) -> Frontier:
    """Parabolas and exponents of runs, all arrays (n,).

    Runs that belong to one cell (several seeds) count as several points of its parabola.
    """
    kinds = sorted(set(budgets.tolist()))
    lines = [_parabola(c, *(v[budgets == c] for v in (parameters, tokens, losses))) for c in kinds]
    good = [line for line in lines if line.parameters is not None]
    if len(good) < LEAST_BUDGETS:
        return Frontier(lines, None, None, None, None, None)
    a, b = _exponents([_place(line) for line in good])
    weights = bootstrap_weights(budgets, num_draws, np.random.Generator(np.random.PCG64(seed)))
    drawn = []
    inside = {line.budget for line in good}
    for row in weights:
        places = []
        for c in sorted(inside):
            here = budgets == c
            found = _parabola(
                c, parameters[here], tokens[here], losses[here], row[here], loose=True
            )
            if found.parameters is not None:
                places.append(_place(found))
        if len(places) >= LEAST_BUDGETS:
            drawn.append(_exponents(places))
    if len(drawn) < num_draws / 2:  # what is left would look surer than it is
        return Frontier(lines, None, None, None, None, None)
    draws = np.array(drawn)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return Frontier(
        lines,
        a,
        b,
        (float(low[0]), float(high[0])),
        (float(low[1]), float(high[1])),
        float(np.corrcoef(draws.T)[0, 1]),
    )


def _parabola(
    budget: float,
    parameters: Array,
    tokens: Array,
    losses: Array,
    weights: Array | None = None,
    *,
    loose: bool = False,
) -> Parabola:
    """Least squares; `loose`, for the bootstrap, accepts a lowest point anywhere."""
    x = np.log(parameters)
    centre = float(x.mean())
    if len(set(x.tolist())) < LEAST_SIZES:
        return Parabola(budget, (0.0, 0.0, 0.0), centre, None, None, None, TOO_FEW)
    root = np.sqrt(np.ones_like(x) if weights is None else weights)[:, None]
    table = np.stack([np.ones_like(x), x - centre, (x - centre) ** 2], axis=1)
    solved = np.linalg.lstsq(table * root, losses * root[:, 0], rcond=None)[0]
    c0, c1, c2 = (float(value) for value in solved)
    why_not = ""
    lowest = centre - c1 / (2 * c2) if c2 > 0 else np.nan
    if not c2 > 0:
        why_not = "the parabola opens downwards"
    elif not loose and not x.min() < lowest < x.max():
        why_not = "the lowest point lies outside the sizes tried"
    elif not loose and x[losses.argmin()] in (x.min(), x.max()):
        why_not = "the best run is the smallest or the largest"
    coefficients = (c0, c1, c2)
    if why_not:
        return Parabola(budget, coefficients, centre, None, None, None, why_not)
    lowest = float(np.clip(lowest, -50, 80))
    return Parabola(
        budget,
        coefficients,
        centre,
        float(np.exp(lowest)),
        c0 - c1**2 / (4 * c2),
        float(np.exp(_log_tokens(lowest, x, np.log(tokens)))),
        "",
    )


def _log_tokens(at: float, x: Array, log_tokens: Array) -> float:
    """ln tokens of the size with ln N = `at`: between the runs, whose operations a token are known,
    and beyond them as from the last two on."""
    x, first = np.unique(x, return_index=True)
    y = log_tokens[first]
    k = int(np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2))
    return float(np.clip(y[k] + (y[k + 1] - y[k]) / (x[k + 1] - x[k]) * (at - x[k]), -50, 80))


def _place(line: Parabola) -> tuple[float, float, float]:
    assert line.parameters is not None
    assert line.tokens is not None
    return line.budget, line.parameters, line.tokens


def _exponents(places: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    c, n, d = np.log(np.array(places)).T
    return float(np.polyfit(c, n, 1)[0]), float(np.polyfit(c, d, 1)[0])


class Envelope(NamedTuple):
    """L(C) = floor + k C^-gamma through the best run of each budget, as a check."""

    floor: float
    k: float
    gamma: float
    budgets: list[float]
    losses: list[float]


def envelope(budgets: Array, losses: Array) -> Envelope | None:
    """The lower edge of all runs; None with fewer than three budgets.

    The floor is taken from a grid, since three to five points hardly determine it.
    """
    kinds = np.array(sorted(set(budgets.tolist())))
    if len(kinds) < 3:
        return None
    best = np.array([losses[budgets == c].min() for c in kinds])
    x = np.log(kinds) - np.log(kinds).mean()
    found: tuple[float, Any, float] | None = None
    for floor in np.linspace(0.0, best.min() * 0.98, 200):
        line = np.polyfit(x, np.log(best - floor), 1)
        fitted = floor + np.exp(np.polyval(line, x))
        wrong = float(np.square(np.log(fitted / best)).sum())
        if found is None or wrong < found[0]:
            found = (wrong, line, float(floor))
    assert found is not None
    slope, level = (float(v) for v in found[1])
    k = float(np.exp(level - slope * np.log(kinds).mean()))
    return Envelope(found[2], k, -slope, kinds.tolist(), best.tolist())
