"""How far a number may be off: bootstrap over documents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_ITEMS = 8


def bootstrap_ratio(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    *,
    seed: int,
    num_resamples: int = 1000,
) -> tuple[float, float] | None:
    """95% percentile interval of sum(numerators) / sum(denominators) over redrawn items.

    Items (documents, questions) are drawn whole, since tokens of one text are not independent
    (Efron & Tibshirani 1993, chapter 13). None below eight items, where it would say nothing.

    Pieces of one book are items of their own here and taken as independent, which they are not
    quite: where a text consists of a few long books, the interval is somewhat too narrow.

    Args:
        numerators: one value an item, e.g. bits.
        denominators: e.g. bytes; positive in sum.
        seed: of the redrawing.
        num_resamples: how often to redraw.
    """
    num_items = len(numerators)
    if num_items < MIN_ITEMS:
        return None
    random = np.random.Generator(np.random.PCG64(seed))
    ratios = np.empty(num_resamples)
    for i in range(num_resamples):
        drawn = random.integers(num_items, size=num_items)
        ratios[i] = numerators[drawn].sum() / max(denominators[drawn].sum(), 1e-12)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)
