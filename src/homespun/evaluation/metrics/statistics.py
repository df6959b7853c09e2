"""What every measure gives: a row of sums for each item, and the value that sums have.

A measure of a corpus (BLEU, macro F1, the word error rate) is a function of quantities that add up
over its sentences. With a row of them for each sentence, the value of any other draw of sentences
costs one product of matrices, and intervals and tests need nothing more of a measure.

Shape letters: N items, K quantities, R draws, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number, how far it may be off, and all one must know to get it again.

    (`core.Score` is something else: the nats, bytes and tokens of a text.)

    Attributes:
        name: "BLEU", "macro F1".
        value: as the field writes it: BLEU and chrF 0 … 100, all else 0 … 1 or its own unit.
        low, high: an interval of 95% where it was asked for, else None.
        num: items it was measured on.
        signature: `key:value|key:value` of every choice that changes the value.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    num: int = 0
    signature: str = ""

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.name} {self.value:.4g}{interval} (n={self.num}, {self.signature})"


@dataclass(frozen=True)
class Statistics:
    """A measure of a corpus, before it is one number.

    Attributes:
        name: of the measure.
        signature: see Measurement.
        rows_NK: float64, the quantities of each item.
        value_of: from sums (..., K) to values (...), for any number of leading axes.
        num_measured: what a person would count, where items are groups of them; None where
            items are what was measured.
        is_share: a mean of values between 0 and 1. A row is then the item's sum of such values and
            how many they are (K = 2).
    """

    name: str
    signature: str
    rows_NK: Floats
    value_of: Callable[[Floats], Floats]
    num_measured: int | None = None
    is_share: bool = False

    @property
    def num(self) -> int:
        return len(self.rows_NK)

    @cached_property
    def value(self) -> float:
        """Of all items together."""
        return float(self.value_of(self.rows_NK.sum(axis=0)))

    def values(self) -> Floats:
        """Of each item alone, (N,)."""
        return self.value_of(self.rows_NK)

    def measurement(self, interval: tuple[float, float] | None = None) -> Measurement:
        low, high = interval or (None, None)
        num = self.num if self.num_measured is None else self.num_measured
        return Measurement(self.name, self.value, low, high, num, self.signature)


def mean_statistics(
    name: str, values_N: Floats, signature: str = "", *, is_share: bool = False
) -> Statistics:
    """The mean of one value an item; `is_share` where it lies between 0 and 1."""
    values_N = np.asarray(values_N, dtype=np.float64)
    rows_N2 = np.stack([values_N, np.ones_like(values_N)], axis=-1)
    return Statistics(name, signature, rows_N2, ratio_of_sums, is_share=is_share)


def ratio_statistics(
    name: str,
    numerators_N: Floats,
    denominators_N: Floats,
    signature: str = "",
    *,
    is_share: bool = False,
) -> Statistics:
    """sum(numerators) / sum(denominators): errors a word, bits a byte. `is_share` where numerators
    count some of what denominators count: right tokens, copied characters."""
    rows_N2 = np.stack([numerators_N, denominators_N], axis=-1).astype(np.float64)
    return Statistics(name, signature, rows_N2, ratio_of_sums, is_share=is_share)


def ratio_of_sums(sums_2: Floats) -> Floats:
    return safe_ratio(sums_2[..., 0], sums_2[..., 1])


def safe_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Their ratio, and 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.zeros(numerator.shape)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out


def by_group(statistics: Statistics, groups: Sequence[str], *, name: str) -> Statistics:
    """The same measure of items that are added up group by group, so that what hangs together is
    redrawn together.

    Args:
        statistics: of N items.
        groups: of each item the group it is in.
        name: what the groups are called in the signature.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    rows_GK = np.zeros((len(numbers), statistics.rows_NK.shape[1]))
    np.add.at(rows_GK, [numbers[group] for group in groups], statistics.rows_NK)
    return replace(
        statistics,
        rows_NK=rows_GK,
        signature=f"{statistics.signature}|redrawn:{len(numbers)} {name}",
        num_measured=len(groups),
    )


def join_signature(**choices: object) -> str:
    """`key:value|key:value`, as sacrebleu writes it (Post 2018)."""
    return "|".join(f"{key}:{value}" for key, value in choices.items())


def check_lengths(**columns: Sequence[object] | NDArray[np.generic]) -> int:
    """How long all of them are.

    Raises:
        DataError: they are not of one length, or empty.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(
            "there must be as many of the one as of the other",
            got=lengths,
            remedy="give one prediction for each reference, in the same order",
        )
    num = next(iter(lengths.values()))
    if not num:
        raise DataError("there is nothing to measure", got=lengths, remedy="give an item or more")
    return num
