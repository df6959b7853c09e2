"""The law itself: loss as a function of parameters, tokens, and how many of them are different.

    L(N, D, U) = E + A / N'^alpha + B / D'^beta

after Hoffmann et al. 2022 (arXiv 2203.15556, equation 10), with the effective data and parameters
of Muennighoff et al. 2023 (arXiv 2305.16264, section 3.1) where text is read more than once:

    D' = u + U R_D (1 - exp(-(D/U - 1) / R_D))       u = min(D, U)
    N' = n + U_N R_N (1 - exp(-(N/U_N - 1) / R_N))   n = min(N, U_N)

U_N is the size that U tokens would suit if they were read once. Here U is the text there is, not
what a run read of it, so that the loss is continuous where the first reading ends; without a limit
on the text N' = N and D' = D.

Everything is vectorised over rows of parameter vectors, and works on complex numbers, from which
exact derivatives come (`jacobian`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NAMES = ("e", "a", "b", "alpha", "beta", "log_data_reuse", "log_parameter_reuse")
"""Order of a parameter vector: ln E, ln A, ln B, alpha, beta, ln R_D, ln R_N."""

# Muennighoff et al. 2023, section 6 (and the constants of their published code): C4, up to 8.7B
# parameters.
DATA_REUSE, PARAMETER_REUSE = 15.387756, 5.309743

LOWEST = np.array([-6.0, -10.0, -10.0, 0.02, 0.02, np.log(0.5), np.log(0.5)])
HIGHEST = np.array([3.0, 40.0, 40.0, 2.5, 2.5, np.log(300.0), np.log(300.0)])
_STEP = 1e-30
_LARGE = 300.0  # exp of it is a float still


class Points(NamedTuple):
    """Where the loss is wanted. Natural logarithms, all of one shape (n,).

    Attributes:
        n: of parameters.
        d: of tokens read.
        u: of different tokens there are; infinite where the text has no end.
    """

    n: Array
    d: Array
    u: Array

    @classmethod
    def of(cls, parameters: Any, tokens: Any, unique_tokens: Any = np.inf) -> Points:
        values = np.broadcast_arrays(parameters, tokens, unique_tokens)
        return cls(*(np.log(np.atleast_1d(np.asarray(v, dtype=np.float64))) for v in values))

    def take(self, chosen: NDArray[np.bool_]) -> Points:
        return Points(self.n[chosen], self.d[chosen], self.u[chosen])


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
    terms = np.stack(np.broadcast_arrays(e, a - alpha * log_n, b - beta * log_d))
    top = terms.real.max(axis=0)
    total: NDArray[Any] = top + np.log(np.exp(terms - top).sum(axis=0))
    return total


def log_loss_obvious(theta: Array, *, parameters: float, tokens: float, unique: float) -> float:
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
    return float(np.log(np.exp(e) + np.exp(a) / size**alpha + np.exp(b) / data**beta))


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
