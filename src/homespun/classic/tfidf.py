"""Nearest text by TF-IDF over units and pairs of units, in plain arrays.

Shape letters: Q queries, N texts.
"""

from __future__ import annotations

import math
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
        counted = [features(text) for text in texts]
        self._num_texts = len(counted)
        document_frequency: Counter[str] = Counter()
        for count in counted:
            document_frequency.update(count.keys())
        self._idf = {
            feature: 1 + math.log((1 + self._num_texts) / (1 + df))
            for feature, df in document_frequency.items()
        }
        rows: dict[str, list[int]] = {feature: [] for feature in self._idf}
        weights: dict[str, list[float]] = {feature: [] for feature in self._idf}
        for row, count in enumerate(counted):
            vector = self._vector(count)
            for feature, weight in vector.items():
                rows[feature].append(row)
                weights[feature].append(weight)
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {
            feature: (np.array(rows[feature], np.int32), np.array(weights[feature], np.float32))
            for feature in rows
        }

    def __len__(self) -> int:
        return self._num_texts

    def similarities(self, query: str) -> NDArray[np.float64]:
        """Cosine of `query` with each text, shape (number of texts,)."""
        total = np.zeros(self._num_texts)
        for feature, weight in self._vector(features(query)).items():
            rows, weights = self._postings[feature]
            total[rows] += weight * weights
        return total

    def all_similarities(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """`similarities` of many queries at once, (Q, N), in a fraction of the time."""
        starts = [0]
        places: list[int] = []
        weights: list[float] = []
        for query in queries:
            vector = self._vector(features(query))
            places += [self._numbers[feature] for feature in vector]
            weights += vector.values()
            starts.append(len(places))
        told = np.array(weights, np.float64), np.array(places, np.int64), np.array(starts)
        queries_QF = sparse.csr_array(told, shape=(len(queries), len(self._numbers)))
        found_QN: NDArray[np.float64] = (queries_QF @ self._matrix).toarray()
        return found_QN

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Rows of `_matrix`."""
        return {feature: number for number, feature in enumerate(self._postings)}

    @cached_property
    def _matrix(self) -> Any:
        """The postings as one sparse matrix, a row a feature and a column a text."""
        kept = list(self._postings.values())
        starts = np.cumsum([0, *(len(rows) for rows, _ in kept)])
        rows = np.concatenate([np.zeros(0, np.int32), *(rows for rows, _ in kept)])
        weights = np.concatenate([np.zeros(0, np.float32), *(weights for _, weights in kept)])
        shape = len(kept), self._num_texts
        return sparse.csr_array((weights.astype(np.float64), rows, starts), shape=shape)

    def nearest(self, query: str) -> tuple[int, float]:
        """Index and similarity of the nearest text; the first of equals; (-1, 0.0) if none are."""
        if not self._num_texts:
            return -1, 0.0
        similarities = self.similarities(query)
        best = int(similarities.argmax())
        return best, float(similarities[best])

    def _vector(self, count: Counter[str]) -> dict[str, float]:
        vector = {
            feature: (1 + math.log(tf)) * self._idf[feature]
            for feature, tf in count.items()
            if feature in self._idf
        }
        norm = math.sqrt(sum(weight * weight for weight in vector.values()))
        return {feature: weight / norm for feature, weight in vector.items()} if norm else {}
