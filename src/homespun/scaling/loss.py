"""The law itself: loss as a function of parameters, tokens, and how many of them are different.

    L(N, D, U) = E + A / N'^alpha + B / D'^beta

after Hoffmann et al. 2022 (arXiv 2203.15556, equation 10), with the effective data and parameters
of Muennighoff et al. 2023 (arXiv 2305.16264, section 3.1) where text is read more than once:

    D' = u + U R_D (1 - exp(-(D/U - 1) / R_D))       u = min(D, U)
    N' = n + U_N R_N (1 - exp(-(N/U_N - 1) / R_N))   n = min(N, U_N)

U_N is the size that U tokens would suit if they were read once. Here U is the text there is, not
what a run read of it, so that the loss is continuous where the first reading ends; without a limit
on the text N' = N and D' = D.

Beside an n-gram table (the fast preset) the network only lowers what the table leaves, so the loss
of a model that has read nothing is the table's, T, a number measured without training:

    L = E + (x^-p + G^-p)^(-1/p)        x = A / N'^alpha + B / D'^beta, G = T - E

For small x, long training, this is the law above, for large x it is T; p says how sudden the change
is (docs/design/scaling.md).

Everything is vectorised over rows of parameter vectors, and works on complex numbers, from which
exact derivatives come (`jacobian`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NAMES = ("e", "a", "b", "alpha", "beta", "log_data_reuse", "log_parameter_reuse")
"""Order of a parameter vector: ln E, ln A, ln B, alpha, beta, ln R_D, ln R_N."""

# Muennighoff et al. 2023, section 6 (and the constants of their published code): C4, up to 8.7B
# parameters.
DATA_REUSE, PARAMETER_REUSE = 15.387756, 5.309743

# R_N of a law whose runs show no sign that larger models are worth less: N' = N.
ENDLESS = 1e30

LOWEST = np.array([-6.0, -10.0, -10.0, 0.02, 0.02, np.log(0.5), np.log(0.5)])
HIGHEST = np.array([3.0, 40.0, 40.0, 2.5, 2.5, np.log(300.0), np.log(ENDLESS)])
_STEP = 1e-30
_LARGE = 300.0  # exp of it is a float still
_NO_ROOM = 1e-4  # nats


class Points(NamedTuple):
    """Where the loss is wanted. Natural logarithms, all of one shape (n,).

    Attributes:
        n: of parameters.
        d: of tokens read.
        u: of different tokens there are; infinite where the text has no end.
        t: of the loss of the n-gram table alone; infinite where there is no table.
        p: not a logarithm: how suddenly a model leaves its table's loss behind.
    """

    n: Array
    d: Array
    u: Array
    t: Array
    p: Array

    @classmethod
    def of(
        cls,
        parameters: Any,
        tokens: Any,
        unique_tokens: Any = np.inf,
        table_loss: Any = np.inf,
        sharpness: float = 1.0,
    ) -> Points:
        values = np.broadcast_arrays(parameters, tokens, unique_tokens, table_loss)
        n, d, u, t = (np.log(np.atleast_1d(np.asarray(v, dtype=np.float64))) for v in values)
        return cls(n, d, u, t, np.full(n.shape, sharpness))

    def take(self, chosen: NDArray[np.bool_]) -> Points:
        return Points(*(column[chosen] for column in self))


def log_loss(theta: NDArray[Any], points: Points) -> NDArray[Any]:
    """ln L at `points`, one row for each row of `theta`.

    Args:
        theta: (S, 7) in the order of `NAMES`, real or complex.

    Returns:
        (S, n), of the dtype of `theta`.
    """
    e, a, b, alpha, beta, reuse, spare = (theta[:, k : k + 1] for k in range(7))
    finite = np.isfinite(points.u)
    u = np.where(finite, points.u, points.d)
    repeats = np.expm1(np.maximum(points.d - u, 0.0))
    gained = np.exp(reuse) * -np.expm1(-repeats * np.exp(-reuse))
    log_d = np.minimum(points.d, u) + np.log1p(gained)
    suited = (np.log(alpha) + a - np.log(beta) - b + beta * u) / alpha
    excess = points.n - suited
    too_large = (excess.real > 0.0) & finite
    ratio = np.expm1(np.where(too_large, _clip(excess), 0.0))
    kept = np.exp(spare) * -np.expm1(-ratio * np.exp(-spare))
    log_n = np.where(too_large, suited + np.log1p(kept), points.n)
    above = _log_sum(a - alpha * log_n, b - beta * log_d)
    return _log_sum(e, _bounded(above, e, points))


def _bounded(above: NDArray[Any], e: NDArray[Any], points: Points) -> NDArray[Any]:
    """ln of what lies above E, which is no more than what the table leaves above it."""
    finite, p = np.isfinite(points.t), points.p
    if not finite.any():
        return above
    room = np.exp(np.where(finite, points.t, 0.0)) - np.exp(e)
    # A floor above the table's own loss is no floor; such constants fit badly and are left behind.
    log_room = np.log(np.where(room.real > _NO_ROOM, room, _NO_ROOM))
    return np.where(finite, -_log_sum(-p * above, -p * log_room) / p, above)


def _log_sum(u: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    """ln(exp u + exp v), of complex numbers too."""
    u, v = np.broadcast_arrays(u, v)
    top = np.maximum(u.real, v.real)
    total: NDArray[Any] = top + np.log(np.exp(u - top) + np.exp(v - top))
    return total


def worth_in_new(tokens: float, unique_tokens: float, data_reuse: float) -> float:
    """D' above: how many tokens read once teach as much as so many of a text of `unique_tokens`."""
    again = max(0.0, tokens / unique_tokens - 1)
    gained = -data_reuse * math.expm1(-again / data_reuse)
    return min(tokens, unique_tokens) + unique_tokens * gained


def log_loss_obvious(
    theta: Array,
    *,
    parameters: float,
    tokens: float,
    unique: float,
    table: float = np.inf,
    sharpness: float = 1.0,
) -> float:
    """`log_loss` of one parameter vector at one point, as the papers write it."""
    e, a, b, alpha, beta, log_reuse, log_spare = theta
    reuse, spare = np.exp(log_reuse), np.exp(log_spare)
    data, size = tokens, parameters
    if np.isfinite(unique):
        if tokens > unique:
            data = unique + unique * reuse * (1 - np.exp(-(tokens / unique - 1) / reuse))
        suited = (alpha * np.exp(a) * unique**beta / (beta * np.exp(b))) ** (1 / alpha)
        if parameters > suited:
            size = suited + suited * spare * (1 - np.exp(-(parameters / suited - 1) / spare))
    above = np.exp(a) / size**alpha + np.exp(b) / data**beta
    if np.isfinite(table):
        above = (above**-sharpness + (table - np.exp(e)) ** -sharpness) ** (-1 / sharpness)
    return float(np.log(np.exp(e) + above))


def jacobian(theta: Array, points: Points, free: NDArray[np.intp]) -> NDArray[Any]:
    """d ln L / d theta for the parameters `free`: (S, n, len(free)).

    By complex steps: f(x + ih) = f(x) + ih f'(x) + O(h^2), without the cancellation of differences
    (Squire and Trapp 1998, SIAM Review 40).
    """
    slopes = []
    for place in free:
        moved = theta.astype(np.complex128)
        moved[:, place] += 1j * _STEP
        slopes.append(log_loss(moved, points).imag / _STEP)
    return np.stack(slopes, axis=-1)


def _clip(x: NDArray[Any]) -> NDArray[Any]:
    """Real part at most `_LARGE`, the derivative left alone below it."""
    return np.where(x.real < _LARGE, x, _LARGE)
