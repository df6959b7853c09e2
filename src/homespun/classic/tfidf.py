"""Nearest text by TF-IDF over units and pairs of units, in plain arrays.

Shape letters: Q queries, N texts.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from homespun.classic.units import text_units

sparse: Any = scipy.sparse  # it has no types


def features(text: str) -> Counter[str]:
    """Units of `text` and pairs of neighbours, counted."""
    units = text_units(text)
    return Counter([*units, *(f"{a} {b}" for a, b in pairwise(units))])


class TfidfIndex:
    """Texts that can be asked which of them is nearest to a query.

    A text is the vector (1 + ln tf) * (1 + ln((1 + n) / (1 + df))) over its features, of length 1;
    similarity is the cosine (Salton & Buckley 1988, "ltc" with smoothed idf).

    Args:
        texts: the texts to choose among.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # Plain numbers, a text after another: as objects they would take ten times as much memory.
        self._numbers: dict[str, int] = {}  # of a feature, its row in the postings
        places, counts, lengths = array("i"), array("i"), array("q")
        for text in texts:
            count = features(text)
            places.extend(
                self._numbers.setdefault(feature, len(self._numbers)) for feature in count
            )
            counts.extend(count.values())
            lengths.append(len(count))
        self._num_texts = len(lengths)
        num_features = len(self._numbers)
        places_P = np.frombuffer(places, np.int32) if places else np.zeros(0, np.int32)
        frequencies = np.bincount(places_P, minlength=num_features)
        self._idf = [1 + math.log((1 + self._num_texts) / (1 + df)) for df in frequencies.tolist()]
        weights_P = np.zeros(len(places), np.float32)
        start = 0
        for length in lengths:
            part = slice(start, start + length)
            weights_P[part] = self._weights(places[part], counts[part])
            start += length
        # The postings: of each feature the texts that have it, in their order, and its weights.
        by_feature_P = np.argsort(places_P, kind="stable")
        rows_P = np.repeat(np.arange(self._num_texts, dtype=np.int32), np.asarray(lengths))
        self._rows: NDArray[np.int32] = rows_P[by_feature_P]
        self._row_weights: NDArray[np.float32] = weights_P[by_feature_P]
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(frequencies)])

    def __len__(self) -> int:
        return self._num_texts

    def similarities(self, query: str) -> NDArray[np.float64]:
        """Cosine of `query` with each text, shape (number of texts,)."""
        total = np.zeros(self._num_texts)
        for number, weight in self._vector(features(query)):
            part = slice(self._starts[number], self._starts[number + 1])
            total[self._rows[part]] += weight * self._row_weights[part]
        return total

    def all_similarities(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """`similarities` of many queries at once, (Q, N), in a fraction of the time."""
        starts = [0]
        places: list[int] = []
        weights: list[float] = []
        for query in queries:
            for number, weight in self._vector(features(query)):
                places.append(number)
                weights.append(weight)
            starts.append(len(places))
        told = np.array(weights, np.float64), np.array(places, np.int64), np.array(starts)
        queries_QF = sparse.csr_array(told, shape=(len(queries), len(self._numbers)))
        found_QN: NDArray[np.float64] = (queries_QF @ self._matrix).toarray()
        return found_QN

    @cached_property
    def _matrix(self) -> Any:
        """The postings as one sparse matrix, a row a feature and a column a text."""
        shape = len(self._numbers), self._num_texts
        weights = self._row_weights.astype(np.float64)
        return sparse.csr_array((weights, self._rows, self._starts), shape=shape)

    def nearest(self, query: str) -> tuple[int, float]:
        """Index and similarity of the nearest text; the first of equals; (-1, 0.0) if none are."""
        if not self._num_texts:
            return -1, 0.0
        similarities = self.similarities(query)
        best = int(similarities.argmax())
        return best, float(similarities[best])

    def _vector(self, count: Counter[str]) -> list[tuple[int, float]]:
        """The features of a text that are known, by their numbers, with their weights."""
        known = [(self._numbers[f], tf) for f, tf in count.items() if f in self._numbers]
        numbers = [number for number, _ in known]
        return list(zip(numbers, self._weights(numbers, [tf for _, tf in known]), strict=True))

    def _weights(self, numbers: Sequence[int], counts: Sequence[int]) -> list[float]:
        """Of features of a text and how often it has each; their squares add up to 1."""
        weights = [
            (1 + math.log(tf)) * self._idf[number]
            for number, tf in zip(numbers, counts, strict=True)
        ]
        norm = math.sqrt(sum(weight * weight for weight in weights))
        return [weight / norm for weight in weights] if norm else weights
