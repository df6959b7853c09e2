"""Numbers of the iterations that make matrices orthogonal, each from the recipe of its paper.

Both iterations map singular values, first scaled into [0, 1], towards 1; what differs is the
function of a round, which is chosen as the best of its form for the interval [lower, upper] that
the rounds before it have left.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

# Amsel et al. 2025 (arXiv 2505.16932), section 4.4: a round's interval never starts below this
# share of its end, which keeps one round from lifting small values at the cost of the large ones.
CUSHION = 0.02407327424182761
# Ibid.: what rounding may push above 1 must still be inside the interval.
SAFETY = 1.01


class Quintic(NamedTuple):
    """x → a x + b x³ + c x⁵."""

    a: float
    b: float
    c: float

    def __call__(self, x: float) -> float:
        return self.a * x + self.b * x**3 + self.c * x**5

    def scaled(self, argument: float, value: float) -> Quintic:
        """`value` · p(`argument` · x)."""
        a, b, c = self
        return Quintic(value * argument * a, value * argument**3 * b, value * argument**5 * c)


class Halley(NamedTuple):
    """x → x (a + b x²) / (1 + c x²)."""

    a: float
    b: float
    c: float

    def __call__(self, x: float) -> float:
        return x * (self.a + self.b * x**2) / (1.0 + self.c * x**2)


@cache
def polar_express(num_rounds: int, lower: float = 1e-3) -> tuple[Quintic, ...]:
    """The quintics of Polar Express (Amsel et al. 2025, arXiv 2505.16932, algorithm 1).

    Args:
        num_rounds: how many follow one another.
        lower: singular values from here on end near 1, the largest being 1.
    """
    rounds: list[Quintic] = []
    upper = 1.0
    for _ in range(num_rounds):
        quintic = best_quintic(max(lower, CUSHION * upper), upper)
        if lower < CUSHION * upper:
            # Beyond the cushion the values are below the range of those inside: centre them all.
            quintic = quintic.scaled(1.0, 2.0 / (quintic(lower) + quintic(upper)))
        rounds.append(quintic)
        lower = quintic(lower)
        upper = 2.0 - lower
    return (*(quintic.scaled(1.0 / SAFETY, 1.0) for quintic in rounds[:-1]), rounds[-1])


def best_quintic(lower: float, upper: float) -> Quintic:
    """The odd quintic nearest to 1 on [lower, upper], in the largest distance: Remez' exchange.

    By the equioscillation theorem its error has one size and alternating signs at `lower`, two
    extrema inside, and `upper`.
    """
    if lower / upper > 1.0 - 5e-6:
        # Too narrow to solve for; the limit of the above is the Newton-Schulz step of order 5.
        return Quintic(15 / 8, -10 / 8, 3 / 8).scaled(1.0 / upper, 1.0)
    first, second = (3 * lower + upper) / 4, (lower + 3 * upper) / 4
    error = math.inf
    while True:
        points = np.array([lower, first, second, upper])
        signs = np.array([1.0, -1.0, 1.0, -1.0])
        system = np.stack([points, points**3, points**5, signs], axis=1)
        a, b, c, new_error = np.linalg.solve(system, np.ones(4)).tolist()
        if abs(error - new_error) < 1e-15:
            return Quintic(a, b, c)
        error = new_error
        # Where the derivative a + 3 b x² + 5 c x⁴ is zero.
        root = math.sqrt(9 * b * b - 20 * a * c)
        first = math.sqrt((-3 * b - root) / (10 * c))
        second = math.sqrt((-3 * b + root) / (10 * c))


@cache
def halley(num_rounds: int, lower: float = 1e-3) -> tuple[Halley, ...]:
    """The rational functions of dynamically weighted Halley iteration (Nakatsukasa, Bai and Gygi
    2010, "Optimizing Halley's iteration for computing the matrix polar decomposition", SIAM J.
    Matrix Anal. Appl. 31(5), equation 3.16 on): the best of its form on [lower, 1], three times
    as many correct digits a round.

    Args:
        num_rounds: how many follow one another.
        lower: singular values from here to 1 end near 1.
    """
    rounds: list[Halley] = []
    for _ in range(num_rounds):
        d = (4.0 * (1.0 - lower**2) / lower**4) ** (1.0 / 3.0)
        inner = 8.0 - 4.0 * d + 8.0 * (2.0 - lower**2) / (lower**2 * math.sqrt(1.0 + d))
        a = math.sqrt(1.0 + d) + 0.5 * math.sqrt(inner)
        b = (a - 1.0) ** 2 / 4.0
        rounds.append(Halley(a, b, a + b - 1.0))
        lower = rounds[-1](lower)
    return tuple(rounds)
