"""The texts that are most like another, as translators look them up in a translation memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.edits import edit_distance
from homespun.classic.tfidf import TfidfIndex
from homespun.classic.units import text_units

_CANDIDATES = 32
"""Texts of the highest cosine, among which those are chosen that are found."""
_AT_ONCE, _MOST_NUMBERS = 256, 6_400_000
"""Queries whose cosines are computed together, and how many of these at most: 50 MB."""


class Near(NamedTuple):
    """Attributes:
    number: of a text.
    nearness: to the query, from 0 to 1.
    """

    number: int
    nearness: float


class FuzzyIndex:
    """Texts that can be asked which of them help to translate a query.

    How near a text is: the mean of the cosine, which counts rare words and pairs of words, and of
    the likeness, 1 - edits / units of the longer one, which counts order and length. The first text
    found is the nearest. Each further one has most of what the query says and those before do not,
    rare words counting more, and of equals is the nearest.

    Args:
        texts: to choose among.
        candidates: texts of the highest cosine that are looked at; all others are passed over.
    """

    def __init__(self, texts: Sequence[str], *, candidates: int = _CANDIDATES) -> None:
        self._index = TfidfIndex(texts)
        self._units = [text_units(text) for text in texts]
        self._candidates = candidates
        counts = Counter(unit for units in self._units for unit in set(units))
        self._worth = {unit: math.log((1 + len(texts)) / n) for unit, n in counts.items()}

    def nearest(
        self,
        queries: Sequence[str],
        *,
        most: int = 1,
        least: float = 0.0,
        without: Sequence[Collection[int]] | None = None,
    ) -> Iterator[list[Near]]:
        """Texts for each query, the nearest first.

        Args:
            most: texts of a query.
            least: nearness that each must have.
            without: of each query, the numbers of texts that it may not find.
        """
        for start, some in self._in_turns(queries):
            cosines_QN = self._index.all_similarities(some)
            for row, query in enumerate(some):
                cosines_N = cosines_QN[row]
                if without is not None:
                    cosines_N[list(without[start + row])] = 0.0
                yield self._chosen(text_units(query), cosines_N, most, least)

    def alike(self, queries: Sequence[str], num: int) -> list[list[int]]:
        """Numbers of the `num` texts of the highest cosine with each query."""
        found: list[list[int]] = []
        for _, some in self._in_turns(queries):
            found += [_highest(row_N, num) for row_N in self._index.all_similarities(some)]
        return found

    def _in_turns(self, queries: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
        """Some queries after others, with the number of the first: however many texts there are,
        their cosines take as much memory."""
        num = max(1, min(_AT_ONCE, _MOST_NUMBERS // max(1, len(self._units))))
        for start in range(0, len(queries), num):
            yield start, queries[start : start + num]

    def _chosen(
        self, units: list[str], cosines_N: NDArray[np.float64], most: int, least: float
    ) -> list[Near]:
        found = [
            Near(number, nearness(units, self._units[number], float(cosines_N[number])))
            for number in _highest(cosines_N, self._candidates)
        ]
        found = [near for near in found if near.nearness >= least]
        found.sort(key=lambda near: (-near.nearness, near.number))
        chosen: list[Near] = []
        missing = set(units)
        while found and len(chosen) < most:
            told = [self._told(missing, near.number) for near in found] if chosen else [1.0]
            if max(told) <= 0:
                break
            chosen.append(found.pop(told.index(max(told))))
            missing -= set(self._units[chosen[-1].number])
        return chosen

    def _told(self, missing: set[str], number: int) -> float:
        """What a text has of the missing units."""
        shared = missing.intersection(self._units[number])
        return round(sum(self._worth[unit] for unit in sorted(shared)), 6)


def nearness(one: Sequence[str], other: Sequence[str], cosine: float) -> float:
    """See `FuzzyIndex`; rounded, so that equals are equal on every machine.

    Args:
        one, other: units of two texts.
        cosine: of the two.
    """
    longer = max(len(one), len(other), 1)
    return round((cosine + 1 - edit_distance(one, other) / longer) / 2, 6)


def _highest(values_N: NDArray[np.float64], num: int) -> list[int]:
    """Numbers of the highest values above 0, the first of equals."""
    if num < len(values_N):
        least = max(float(np.partition(values_N, -num)[-num]), 1e-12)
        numbers = np.flatnonzero(values_N >= least)
    else:
        numbers = np.flatnonzero(values_N > 0)
    order = np.lexsort((numbers, -values_N[numbers]))
    return [int(numbers[at]) for at in order[:num]]
