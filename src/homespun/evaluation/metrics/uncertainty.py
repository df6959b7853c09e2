"""How far a value may be off, and whether one system is better than another.

All work on the rows of `Statistics`, so 1,000 draws of 1,000 sentences are one product of
matrices. Everything is drawn from the generator that is handed in: the same one, the same numbers.

Shape letters: N items, K quantities, R draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError
from homespun.evaluation.intervals import MIN_ITEMS, expanded_p_value, expanded_tail
from homespun.evaluation.metrics.statistics import Floats, Measurement, Statistics

sparse: Any = scipy.sparse  # it has no types
_CELLS = 1 << 21
"""Numbers drawn at once; bounds memory to some tens of MB."""
_SPARSE = 20
"""Rows of which not one number in so many differs from 0 are multiplied without their zeros."""


def bootstrap(
    statistics: Statistics,
    generator: np.random.Generator,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> Measurement:
    """The value with its percentile interval over redrawn items (Efron & Tibshirani 1993, ch. 13),
    expanded for how few they are (`expanded_tail`).

    No interval for fewer than eight items, as in `bootstrap_ratio`, its slow twin.

    Args:
        statistics: of a measure.
        generator: draws the items.
        num_resamples: how often to redraw, R.
        confidence: how often such an interval holds the truth.
    """
    _check(num_resamples, confidence)
    if statistics.num < MIN_ITEMS:
        return statistics.measurement()
    sums_RK = _resampled_sums(statistics.rows_NK, generator, num_resamples)
    tail = 100 * expanded_tail(statistics.num, confidence)
    low, high = np.percentile(statistics.value_of(sums_RK), [tail, 100 - tail])
    return statistics.measurement((float(low), float(high)))


def with_interval(
    statistics: Statistics, generator: np.random.Generator, *, confidence: float = 0.95
) -> Measurement:
    """The value with an interval that is not surer than so many items can make it.

    Where each item is right or wrong as a whole it is Wilson's, of all else the bootstrap's, which
    is too narrow near 0 and 1. Where all redraws are alike, a bootstrap says that nothing else can
    be: of shares `unvaried_interval` stands in its place, of all else nothing. Items of different
    sizes, such as copies of one input, count as their effective number (Kish 1965) where they stand
    or fall as wholes, or are taken to. No interval for fewer than eight items.

    Args:
        statistics: of a measure.
        generator: draws the items.
        confidence: of the interval.
    """
    if statistics.num < MIN_ITEMS:
        return statistics.measurement()
    if _are_right_or_wrong(statistics):
        right, size = (float(total) for total in statistics.rows_NK.sum(axis=0))
        num = max(1.0, _num_as_equals(statistics))
        interval = wilson_interval(min(num, right * (num / size)), num, confidence=confidence)
        return statistics.measurement(interval)
    found = bootstrap(statistics, generator, confidence=confidence)
    if found.low is None or found.high is None or not _are_alike(found.low, found.high):
        return found
    num = _num_as_equals(statistics) if statistics.is_share else 0.0
    if not num:
        return statistics.measurement()
    return statistics.measurement(unvaried_interval(found.value, num, confidence=confidence))


@dataclass(frozen=True, slots=True)
class Comparison:
    """System a against system b on the same items.

    Attributes:
        name, signature: of the measure and the test.
        value_a, value_b: of all items.
        difference: a minus b.
        low, high: of the difference, 95%; None where the test gives none.
        p_value: two-sided; of a difference as large when the systems are equal.
        num: items.
    """

    name: str
    value_a: float
    value_b: float
    difference: float
    low: float | None
    high: float | None
    p_value: float
    num: int
    signature: str


def paired_bootstrap(
    a: Statistics,
    b: Statistics,
    generator: np.random.Generator,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> Comparison:
    """Both systems on the same redrawn items (Koehn 2004).

    The p-value is of the draws moved to a mean of 0, as if the systems were equal (Riezler &
    Maxwell 2005, figure 2), and never below 1 / (R + 1). It and the interval are expanded for how
    few items there are (`expanded_tail`).

    Raises:
        DataError: not of the same measure and number of items, or of fewer than two.
    """
    _check(num_resamples, confidence)
    _check_pair(a, b)
    if a.num < 2:
        raise DataError(
            "one item alone cannot be redrawn", got=a.num, remedy="measure on two items or more"
        )
    both_NK = np.concatenate([a.rows_NK, b.rows_NK], axis=1)
    sums_RK = _resampled_sums(both_NK, generator, num_resamples)
    width = a.rows_NK.shape[1]
    drawn_R = a.value_of(sums_RK[:, :width]) - b.value_of(sums_RK[:, width:])
    tail = 100 * expanded_tail(a.num, confidence)
    low, high = np.percentile(drawn_R, [tail, 100 - tail])
    extreme = _count_extreme(drawn_R - drawn_R.mean(), a.value - b.value)
    found = _comparison(a, b, extreme, num_resamples, "bootstrap", (float(low), float(high)))
    return replace(found, p_value=expanded_p_value(found.p_value, a.num))


def compared(
    a: Statistics, b: Statistics, generator: np.random.Generator, *, confidence: float = 0.95
) -> Comparison:
    """`paired_bootstrap`, and where all its redraws are alike, as when both systems get the same
    items right, what so many items can say: the p-value of `approximate_randomisation`, and of
    shares `unvaried_interval`; of other measures no interval.

    Of fewer than eight items it is `approximate_randomisation` alone: redrawn, they vary far less
    than others would, and three that lie on one side by chance look like certainty.

    Raises:
        DataError: not of the same measure and number of items.
    """
    if a.num < MIN_ITEMS:
        return approximate_randomisation(a, b, generator)
    found = paired_bootstrap(a, b, generator, confidence=confidence)
    if found.low is None or found.high is None or not _are_alike(found.low, found.high):
        return found
    exchanged = approximate_randomisation(a, b, generator)
    num = min(_num_as_equals(a), _num_as_equals(b)) if a.is_share and b.is_share else 0.0
    if not num:
        return exchanged
    low, high = unvaried_interval(found.difference, num, least=-1.0, confidence=confidence)
    return replace(exchanged, low=low, high=high)


def approximate_randomisation(
    a: Statistics,
    b: Statistics,
    generator: np.random.Generator,
    *,
    num_resamples: int = 1000,
) -> Comparison:
    """Outputs of the two systems exchanged at random, item by item (Noreen 1989, ch. 2).

    The p-value is (extreme + 1) / (R + 1). No interval.

    Raises:
        DataError: not of the same measure and number of items.
    """
    _check(num_resamples, 0.95)
    _check_pair(a, b)
    total_a_K, total_b_K = a.rows_NK.sum(axis=0), b.rows_NK.sum(axis=0)
    change_NK = b.rows_NK - a.rows_NK

    def swapped(num: int) -> Floats:
        return generator.integers(2, size=(num, a.num)).astype(np.float64)

    moved_RK = _products(swapped, change_NK, num_resamples)
    drawn_R = a.value_of(total_a_K + moved_RK) - b.value_of(total_b_K - moved_RK)
    extreme = _count_extreme(drawn_R, a.value - b.value)
    return _comparison(a, b, extreme, num_resamples, "randomisation", None)


def wilson_interval(
    num_right: float, num: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a share of independent items (Wilson 1927; Brown et al. 2001, equation 4).

    Good for small numbers and for shares near 0 and 1, where a bootstrap is of no width.

    Args:
        num_right: 0 … num; halves of ties may be among them.
        num: of all; what counts as a part of an item may be among them.
    """
    _check(1, confidence)
    if num < 1 or not 0 <= num_right <= num:
        raise DataError(
            "a share needs 0 <= num_right <= num and num >= 1",
            got=(num_right, num),
            remedy="count items, and of them those that are right",
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = num_right / num
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    return max(0.0, centre - half), min(1.0, centre + half)


def unvaried_interval(
    value: float, num: float, *, least: float = 0.0, most: float = 1.0, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a mean where every item seen has the same value.

    How many of all items differ has Wilson's upper bound for 0 of `num`; each of those may lie
    anywhere between `least` and `most`. Of shares of 1 and of 0 it is Wilson's interval itself.

    Args:
        value: of each item, `least` … `most`.
        num: independent items, above 0; a part of one counts.
        confidence: of the interval.
    """
    _check(1, confidence)
    if num <= 0 or not least <= value <= most:
        raise DataError(
            "an interval needs items, and a value between the least and the most",
            got=(value, num),
            remedy="give the bounds of the values as least and most",
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    differing = z * z / (num + z * z)
    return value - differing * (value - least), value + differing * (most - value)


def _are_right_or_wrong(statistics: Statistics) -> bool:
    """Whether each item is a share of 0 or of 1 of its size, and one has a size."""
    if not statistics.is_share:
        return False
    values_N, sizes_N = statistics.rows_NK.T
    return bool(sizes_N.any() and ((values_N == 0) | (values_N == sizes_N)).all())


def _num_as_equals(statistics: Statistics) -> float:
    """How many items of one size say as much as these, each of which stands or falls as a whole; 0
    where all are empty."""
    sizes_N = statistics.rows_NK[:, 1]
    return float(sizes_N.sum() ** 2 / max((sizes_N**2).sum(), 1e-300))


def _are_alike(low: float, high: float) -> bool:
    # Sums in another order differ in the last bits; see _count_extreme.
    return high - low <= 1e-9 * max(1.0, abs(low))


def _resampled_sums(rows_NK: Floats, generator: np.random.Generator, num_resamples: int) -> Floats:
    num = len(rows_NK)

    def times_drawn(draws: int) -> Floats:
        drawn_RN = generator.integers(num, size=(draws, num))
        drawn_RN += np.arange(draws)[:, None] * num
        counts = np.bincount(drawn_RN.ravel(), minlength=draws * num)
        return counts.reshape(draws, num).astype(np.float64)

    return _products(times_drawn, rows_NK, num_resamples)


def _products(draw: Callable[[int], Floats], rows_NK: Floats, num_resamples: int) -> Floats:
    """`draw(R) @ rows_NK`, a part of the draws at a time."""
    num, width = rows_NK.shape
    out_RK = np.empty((num_resamples, width))
    step = max(1, _CELLS // max(1, num))
    # Of a thousand classes an item has three: the zeros would take seconds.
    is_sparse = _SPARSE * np.count_nonzero(rows_NK) < rows_NK.size
    rows_KN = sparse.csr_array(rows_NK.T) if is_sparse else rows_NK.T
    for start in range(0, num_resamples, step):
        stop = min(start + step, num_resamples)
        drawn_RN = draw(stop - start)
        if is_sparse:
            out_RK[start:stop] = (rows_KN @ drawn_RN.T).T
        else:
            np.matmul(drawn_RN, rows_NK, out=out_RK[start:stop])
    return out_RK


def _count_extreme(drawn_R: NDArray[np.float64], seen: float) -> int:
    # Sums in another order differ in the last bits; equal ones must count as equal.
    slack = 1e-9 * max(1.0, abs(seen))
    return int((np.abs(drawn_R) >= abs(seen) - slack).sum())


def _comparison(
    a: Statistics,
    b: Statistics,
    extreme: int,
    num_resamples: int,
    test: str,
    interval: tuple[float, float] | None,
) -> Comparison:
    low, high = interval or (None, None)
    return Comparison(
        a.name,
        a.value,
        b.value,
        a.value - b.value,
        low,
        high,
        (extreme + 1) / (num_resamples + 1),
        a.num,
        f"{a.signature}|test:{test}|draws:{num_resamples}".lstrip("|"),
    )


def _check(num_resamples: int, confidence: float) -> None:
    if num_resamples < 1:
        raise ConfigError("at least one resample is needed", got=num_resamples, remedy="take 1000")
    if not 0 < confidence < 1:
        raise ConfigError(
            "the confidence must lie between 0 and 1", got=confidence, remedy="take 0.95"
        )


def _check_pair(a: Statistics, b: Statistics) -> None:
    if a.rows_NK.shape != b.rows_NK.shape or (a.name, a.signature) != (b.name, b.signature):
        raise DataError(
            "only the same measure on the same items can be compared",
            got=f"{a.name} {a.signature} {a.num}, {b.name} {b.signature} {b.num}",
            remedy="measure both systems with the same settings, in the same order",
        )
