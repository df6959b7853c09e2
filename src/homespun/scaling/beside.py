"""What a pilot beside an n-gram table says of another text than the law's.

How good the table alone is on the text is known without training. What training adds to it is not:
a text that repeats itself from afar, as documentation does, leaves its table behind sooner than
novels do. So the law's loss (`scaling.loss`) is scaled until its table is as good as the text's
own, and what lies above the floor is multiplied by an ease m, which the pilot tells:

    L = s (E + ((m x)^-p + G^-p)^(-1/p))        s = T_text / T,  x = A / N'^alpha + B / D'^beta

A pilot that has hardly left its table says little of m, and the interval is as wide as that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from homespun.scaling.law import Law, spread_of
from homespun.scaling.loss import NAMES, Array, log_loss

# ln m before a pilot has flown: texts differ by a factor of two or so, one and the same text,
# collected and encoded anew, by a tenth.
EASES = np.linspace(-3.0, 3.0, 241)
USUAL_EASE, OWN_EASE = 0.7, 0.1
LEAST_NOISE = 0.003  # of a pilot's measured loss, and of the run to come


class Place(NamedTuple):
    """Attributes:
    parameters, tokens, unique_tokens: of a run, tokens as the law counts them.
    """

    parameters: float
    tokens: float
    unique_tokens: float


def losses_by_ease(law: Law, place: Place, theta: Array, eases: Array) -> Array:
    """The law's nats per token for each row of constants and each ln m, the scale s left out.

    Args:
        theta: (S, 7). eases: (M,).

    Returns:
        (S, M).
    """
    # m times x is the law with A and B m times as large.
    eased = np.repeat(theta[:, None], len(eases), axis=1)
    eased[:, :, NAMES.index("a")] += eases
    eased[:, :, NAMES.index("b")] += eases
    points = law.points(place.parameters, place.tokens, place.unique_tokens)
    found: Array = np.exp(log_loss(eased.reshape(-1, len(NAMES)), points))
    return found.reshape(len(theta), len(eases))


def foretell_beside(
    law: Law,
    place: Place,
    *,
    pilot: Place,
    alone: float,
    measured: float,
    ease: float = USUAL_EASE,
    level: float = 95.0,
) -> tuple[float, float, float]:
    """Nats per token of a run of the text, in the law's tokens, with an interval.

    Every draw of the bootstrap has its own belief about m once the pilot is known; the interval is
    of all of them, and of the noise of the run to come. What is told is the median of the belief: a
    pilot that has not left its table rules small m out and says nothing of large ones, and the mean
    would be of those.

    Args:
        place, pilot: the run, and what was flown.
        alone, measured: nats of the table alone, and of the pilot.
        ease: standard deviation of ln m before the pilot has flown.
    """
    assert law.table is not None
    scale = alone / float(law.table.loss(place.unique_tokens))
    noise = max(LEAST_NOISE, law.noise)

    def believed(theta: Array) -> tuple[Array, Array]:
        """Losses of the run, and how likely each is: (S, M), each row of the latter sums to 1."""
        flown = scale * losses_by_ease(law, pilot, theta, EASES)
        off = (flown / measured - 1) / noise
        exponents = -0.5 * (off**2 + (EASES / ease) ** 2)
        # A pilot that no m explains, as one that knows a small text by heart, leaves the m that
        # explains it best: as shares of the likeliest they do not all come to nothing.
        likely = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        return scale * losses_by_ease(law, place, theta, EASES), likely

    told, likely = (rows[0] for rows in believed(law.constants.vector()[None]))
    middle = float(told[np.searchsorted(np.cumsum(likely), 0.5)])  # losses rise with m
    values, weights = believed(np.array(law.draws))
    order = np.argsort(values, axis=None)
    share = np.cumsum(weights.ravel()[order]) / weights.sum()
    tail = (100.0 - level) / 200.0
    low, high = (float(values.ravel()[order][np.searchsorted(share, q)]) for q in (tail, 1 - tail))
    spread = 2 * max(noise, spread_of(law, place.parameters, place.tokens)) * middle
    return (
        middle,
        max(0.0, middle - float(np.hypot(max(0.0, middle - low), spread))),
        middle + float(np.hypot(max(0.0, high - middle), spread)),
    )
