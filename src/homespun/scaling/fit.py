"""Fitting the law to runs: summed Huber loss of ln L, from many starts, and a bootstrap of it.

The minimum is that of Hoffmann et al. 2022 (arXiv 2203.15556, appendix D.3): Huber with
delta = 1e-3 on differences of logarithms. Summed, not averaged: with a mean L-BFGS stops early
(Besiroglu et al. 2024, arXiv 2404.10102). `minimise` does many fits at once by damped Gauss-Newton
with Huber's weights; `minimise_obvious` is SciPy's L-BFGS, one fit after another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError
from homespun.scaling.loss import (
    DATA_REUSE,
    ENDLESS,
    HIGHEST,
    LOWEST,
    PARAMETER_REUSE,
    Array,
    Points,
    jacobian,
    log_loss,
)

DELTA = 1e-3
# Of a law beside a table: the one of least loss is taken, so coarse that it is told apart.
SHARPNESSES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
BASIC = np.arange(5)  # E, A, B, alpha, beta
CONSTANTS = ("E", "A", "B", "alpha", "beta")
_ALL = (*CONSTANTS, "data_reuse", "parameter_reuse")
REUSE = np.array([5])
SPARE = np.array([6])  # ln R_N
NO_SIGN = 50.0  # R_N: ten times the parameters that suit a text are worth nine tenths of that
NUM_BEST_STARTS = 60
NUM_ROUNDS = 300
LEAST_RUNS = 3  # more than there are constants to fit
# So often text is read that is worth nearly as much as new (Muennighoff et al.: four times).
AS_NEW = 2.1
# Runs that read their text twice or more, before its worth is fitted rather than taken over.
LEAST_REPEATED = 4
_START_GRID = (
    (-1.0, -0.5, 0.0, 0.5, 1.0),  # e
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # a
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),  # b
    (0.1, 0.3, 0.5, 1.0, 1.5),  # alpha
    (0.1, 0.3, 0.5, 1.0, 1.5),  # beta
)


class Fit(NamedTuple):
    """Attributes:
    theta: (7,), see `loss.NAMES`.
    free: which of them were fitted; the others are given, or Muennighoff's.
    objective: summed Huber loss.
    draws: (S, 7), the bootstrap.
    residuals: ln L measured minus fitted, one a run.
    sharpness: p beside a table, 1 without one.
    once: which runs read no text twice, or, where too few of the others tell what repeated text is
        worth, more than twice; E, A, B, alpha and beta are fitted to these alone, and what
        repeated text is worth to the others, as Muennighoff et al. do (section 5).
    """

    theta: Array
    free: NDArray[np.intp]
    objective: float
    draws: Array
    residuals: Array
    once: NDArray[np.bool_]
    sharpness: float = 1.0


def fit_law(
    points: Points,
    log_losses: Array,
    groups: Array,
    *,
    given: Mapping[str, float] | None = None,
    joint: bool = False,
    num_draws: int = 1000,
    seed: int = 0,
) -> Fit:
    """Fit the law and bootstrap the fit over runs.

    Args:
        points: of the runs.
        log_losses: ln of their losses, (n,).
        groups: (n,), a budget each: weights are drawn among the runs of a budget.
        given: values of E, A, B, alpha or beta, taken over where the runs are too few to tell them.
        joint: fit everything to all runs at once, and not what repeated text is worth after the
            rest: where a text is so small that every run of use reads it more than once. Where the
            runs do not tell that worth, it is taken over. What parameters beyond those that suit
            the text are worth is fitted as well: that size follows from alpha and beta, which one
            text's runs tell, so a worth taken over would bend these. From `NO_SIGN` on they are
            worth as much as any, and so they are taken to be in other lengths of text.
        num_draws: of the bootstrap.
        seed: of its weights.

    Raises:
        ConfigError: a constant that is given lies outside of what is searched, or all are given.
            DataError: fewer than `LEAST_RUNS` runs more than constants to fit, or all runs of one
            size or length.
    """
    _check_given(given or {})
    tells_reuse = int((points.d - points.u > np.log(1.5)).sum()) >= LEAST_REPEATED
    free = np.array([k for k, name in enumerate(CONSTANTS) if name not in (given or {})])
    once = points.d <= points.u + 1e-3
    if not tells_reuse and once.sum() < LEAST_RUNS + len(free):
        once = points.d <= points.u + math.log(AS_NEW)
    if joint:
        once = np.ones_like(once)
        free = np.append(free, [*REUSE, *SPARE])
    _check(points, once, least=LEAST_RUNS + len(free))
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = bootstrap_weights(groups, num_draws, generator)
    sharpness = 1.0
    if np.isfinite(points.t).any():
        sharpness = _sharpest(points.take(once), log_losses[once], free=free, given=given or {})
        points = points._replace(p=np.full(points.p.shape, sharpness))
    chosen = points.take(once), log_losses[once], weights[:, once]
    theta, draws, objective = _fit_basic(*chosen, free=free, given=given or {})
    if joint:
        given = dict(given or {})
        if theta[SPARE] > math.log(NO_SIGN):
            free = np.setdiff1d(free, SPARE)
            given["parameter_reuse"] = ENDLESS
            theta, draws, objective = _fit_basic(*chosen, free=free, given=given)
        if np.isclose(theta[REUSE], [LOWEST[REUSE], HIGHEST[REUSE]]).any():
            # The runs read the text too seldom to tell what that is worth: it is taken over.
            free = np.setdiff1d(free, REUSE)
            theta, draws, objective = _fit_basic(*chosen, free=free, given=given)
    if tells_reuse and not joint:
        free = np.append(free, REUSE)
        again, told = points.take(~once), log_losses[~once]
        equal = np.ones((1, len(told)))
        theta = minimise(theta[None], again, told, equal, free=REUSE)[0][0]
        draws[:, REUSE] = theta[REUSE]
        draws = minimise(draws, again, told, weights[:, ~once], free=REUSE)[0]
    residuals = log_losses - log_loss(theta[None], points)[0]
    return Fit(theta, free, objective, draws, residuals, once, sharpness)


def _sharpest(
    points: Points, log_losses: Array, *, free: NDArray[np.intp], given: Mapping[str, float]
) -> float:
    """Of `SHARPNESSES` the one that fits best."""
    nothing = np.empty((0, len(log_losses)))
    objectives = {
        p: _fit_basic(
            points._replace(p=np.full(points.p.shape, p)),
            log_losses,
            nothing,
            free=free,
            given=given,
            num_starts=NUM_BEST_STARTS // 4,
        )[2]
        for p in SHARPNESSES
    }
    return min(SHARPNESSES, key=lambda p: objectives[p])


def _fit_basic(
    points: Points,
    log_losses: Array,
    weights: Array,
    *,
    free: NDArray[np.intp],
    given: Mapping[str, float],
    num_starts: int = NUM_BEST_STARTS,
) -> tuple[Array, Array, float]:
    """The constants `free` fitted to these runs, (7,), their bootstrap, (S, 7), and the sum that
    was minimised."""
    starts = best_starts(points, log_losses, num_starts, given=given)
    equal = np.ones((len(starts), len(log_losses)))
    found, objectives = minimise(starts, points, log_losses, equal, free=free)
    best = found[int(np.argmin(objectives))]
    theta, objective = minimise_obvious(best, points, log_losses, equal[0], free=free)
    around = np.repeat(theta[None], len(weights), axis=0)
    draws = minimise(around, points, log_losses, weights, free=free)[0] if len(weights) else around
    return theta, draws, objective


def fit_anew(
    points: Points, log_losses: Array, *, free: NDArray[np.intp], given: Mapping[str, float]
) -> Array:
    """The constants `free` fitted to these runs alone, without a bootstrap: (7,)."""
    nothing = np.empty((0, len(log_losses)))
    return _fit_basic(points, log_losses, nothing, free=free, given=given)[0]


def best_starts(
    points: Points,
    log_losses: Array,
    num: int = NUM_BEST_STARTS,
    *,
    given: Mapping[str, float] | None = None,
) -> Array:
    """Of a grid of 4,500 the starts nearest to the data, (num, 7), with the constants `given`."""
    grid = np.array(list(itertools.product(*_START_GRID)))
    reuse = np.log([DATA_REUSE, PARAMETER_REUSE])
    starts = np.hstack([grid, np.broadcast_to(reuse, (len(grid), 2))])
    for name, value in (given or {}).items():
        place = _ALL.index(name)
        starts[:, place] = value if name in ("alpha", "beta") else np.log(value)
    starts = np.unique(starts, axis=0)
    distance = np.abs(log_loss(starts, points) - log_losses).sum(axis=1)
    return starts[np.argsort(distance, kind="stable")[:num]]


def huber(residuals: Array, delta: float = DELTA) -> Array:
    """r²/2 up to `delta`, then a straight line of slope `delta`."""
    size = np.abs(residuals)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def minimise(
    starts: Array,
    points: Points,
    log_losses: Array,
    weights: Array,
    *,
    free: NDArray[np.intp],
    num_rounds: int = NUM_ROUNDS,
) -> tuple[Array, Array]:
    """Minimise the summed Huber loss from each row of `starts`, with that row's weights and losses
    (one row of losses for all, or one each).

    Each round solves the least-squares problem with Huber's weights, damped until the sum falls.

    Returns:
        (S, 7) parameter vectors and (S,) sums.
    """
    theta = np.clip(starts, LOWEST, HIGHEST)
    log_losses = np.broadcast_to(log_losses, weights.shape)
    damping = np.full(len(theta), 1e-3)
    residuals = log_loss(theta, points) - log_losses
    value = (weights * huber(residuals)).sum(axis=1)
    alive = np.arange(len(theta))
    idle = np.zeros(len(theta), dtype=int)
    for _ in range(num_rounds):
        now, errors, pull = theta[alive], residuals[alive], weights[alive]
        slopes = jacobian(now, points, free)
        pull = pull * np.minimum(1.0, DELTA / np.maximum(np.abs(errors), 1e-300))
        weighted = slopes * pull[:, :, None]
        curvature = np.einsum("snp,snq->spq", weighted, slopes)
        gradient = np.einsum("snp,sn->sp", weighted, errors)
        scale = np.einsum("spp->sp", curvature) + 1e-12
        damped = curvature + np.einsum(
            "sp,pq->spq", damping[alive, None] * scale, np.eye(len(free))
        )
        step = np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        tried = now.copy()
        tried[:, free] -= np.clip(step, -3.0, 3.0)
        tried = np.clip(tried, LOWEST, HIGHEST)
        new_residuals = log_loss(tried, points) - log_losses[alive]
        new_value = (weights[alive] * huber(new_residuals)).sum(axis=1)
        better = new_value < value[alive]
        gain = (value[alive] - new_value) / np.maximum(value[alive], 1e-30)
        won = alive[better]
        theta[won], residuals[won], value[won] = (
            tried[better],
            new_residuals[better],
            new_value[better],
        )
        damping[alive] = np.where(better, damping[alive] / 4, damping[alive] * 8)
        damping = np.clip(damping, 1e-12, 1e12)
        idle[alive] = np.where(better & (gain > 1e-9), 0, idle[alive] + 1)
        alive = alive[idle[alive] < 10]
        if not len(alive):
            break
    return theta, value


def minimise_obvious(
    start: Array, points: Points, log_losses: Array, weights: Array, *, free: NDArray[np.intp]
) -> tuple[Array, float]:
    """The same minimum by SciPy's L-BFGS, one start, in float64 with tight tolerances."""
    from scipy.optimize import minimize

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        theta = start.copy()
        theta[free] = x
        residuals = (log_loss(theta[None], points) - log_losses)[0]
        slopes = jacobian(theta[None], points, free)[0]
        value = float((weights * huber(residuals)).sum())
        return value, slopes.T @ (weights * np.clip(residuals, -DELTA, DELTA))

    bounds = list(zip(LOWEST[free], HIGHEST[free], strict=True))
    done: Any = minimize(  # type: ignore[no-untyped-call]
        value_and_gradient,
        np.clip(start, LOWEST, HIGHEST)[free],
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30},
    )
    theta = start.copy()
    theta[free] = done.x
    return theta, float(done.fun)


def bootstrap_weights(groups: Array, num: int, generator: np.random.Generator) -> Array:
    """(num, n) weights that add up to the number of runs within each group.

    A Bayesian bootstrap (Rubin 1981, Annals of Statistics 9) within groups: weights are Dirichlet,
    so no draw loses a size altogether and leaves a parabola without its third point. They are
    drawn wide enough to have variance 1, as whole resampling of many runs has; Rubin's own, or
    resampling within groups of five, have 0.7 to 0.8, and intervals too narrow by as much.
    """
    weights = np.zeros((num, len(groups)))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        m = len(members)
        # Each weight, m times a share, has variance (m - 1) / (m a + 1): 1 for a = 1 - 2 / m.
        spread = max(0.1, 1 - 2 / m)
        weights[:, members] = m * generator.dirichlet(np.full(m, spread), size=num)
    return weights


def _check_given(given: Mapping[str, float]) -> None:
    """A value outside would be cut to the nearest one that is searched, and nobody be told."""
    if len(given) == len(CONSTANTS):
        raise ConfigError(
            "all constants are given, and none is left to fit",
            got=", ".join(given),
            remedy="leave one of them out",
        )
    for name, value in given.items():
        low, high = (float(edge[_ALL.index(name)]) for edge in (LOWEST, HIGHEST))
        if name not in ("alpha", "beta"):
            low, high = math.exp(low), math.exp(high)
        if not low <= value <= high:
            raise ConfigError(
                f"{name} is searched from {low:.3g} to {high:.3g}, and cannot be given so",
                got=value,
                remedy="give another value, or let the runs tell it",
            )


def _check(points: Points, once: NDArray[np.bool_], *, least: int) -> None:
    if once.sum() < least:
        again = len(once) - int(once.sum())
        remedy = "let `homespun scale sweep` finish more of its grid"
        if again:
            remedy += ", or fit those that read it again as well, with --joint"
        raise DataError(
            f"a law needs {least} runs or more{' that read no text twice' if again else ''}",
            got=int(once.sum()),
            remedy=remedy,
        )
    for name, values in (("size", points.n[once]), ("length", points.d[once])):
        if np.ptp(values) < np.log(2.0):
            raise DataError(
                f"all runs have nearly the same {name}, which says nothing of its effect",
                remedy="sweep more sizes and more budgets",
            )
