"""Which texts a question is about, by shared words (BM25, Robertson and Zaragoza 2009)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homespun.classic.tfidf import features
from homespun.core import ConfigError


class Bm25Index:
    """Texts that can be asked which of them suit a query.

    A text's score is `Σ idf · tf (k1 + 1) / (tf + k1 (1 - b + b · length / mean length))` over the
    query's features, idf `ln(1 + (n - df + ½) / (df + ½))`, which is never below 0 (their equations
    3.3 and 3.15, with the one added that Lucene adds). Features are words, single Chinese
    characters and neighbouring two of either.

    Args:
        texts: to choose among.
        k1: how soon a further occurrence counts less.
        b: how much long texts are marked down.

    Raises:
        ConfigError: k1 is below 0, or b not in 0 … 1.
    """

    def __init__(self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ConfigError(
                "BM25 wants k1 >= 0 and b in 0 … 1", got=(k1, b), remedy="take 1.2 and 0.75"
            )
        counted = [features(text) for text in texts]
        self._num_texts = len(counted)
        lengths_N = np.array([count.total() for count in counted], dtype=np.float64)
        mean = float(lengths_N.mean()) if len(lengths_N) else 1.0
        damp_N = k1 * (1 - b + b * lengths_N / max(mean, 1e-9))
        rows: dict[str, list[int]] = {}
        times: dict[str, list[int]] = {}
        for row, count in enumerate(counted):
            for feature, number in count.items():
                rows.setdefault(feature, []).append(row)
                times.setdefault(feature, []).append(number)
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}
        for feature, found in rows.items():
            at = np.array(found, np.int32)
            tf = np.array(times[feature], np.float64)
            idf = math.log(1 + (self._num_texts - len(at) + 0.5) / (len(at) + 0.5))
            self._postings[feature] = at, idf * tf * (k1 + 1) / (tf + damp_N[at])

    def __len__(self) -> int:
        return self._num_texts

    def scores(self, query: str) -> NDArray[np.float64]:
        """Of each text, shape (number of texts,); a feature of the query counts once."""
        total_N = np.zeros(self._num_texts)
        for feature in features(query):
            if feature in self._postings:
                rows, values = self._postings[feature]
                total_N[rows] += values
        return total_N

    def best(self, query: str, num: int) -> list[int]:
        """Numbers of the `num` best texts with a score above 0, best first."""
        scores_N = self.scores(query)
        order = np.argsort(-scores_N, kind="stable")[:num]
        return [int(number) for number in order if scores_N[number] > 0]


def bm25_obvious(
    texts: Sequence[str], query: str, *, k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """`Bm25Index.scores`, text by text as the formula reads. Slow."""
    counted = [features(text) for text in texts]
    mean = sum(count.total() for count in counted) / len(counted)

    def score(count: Counter[str]) -> float:
        total = 0.0
        for feature in features(query):
            with_it = sum(feature in other for other in counted)
            idf = math.log(1 + (len(texts) - with_it + 0.5) / (with_it + 0.5))
            tf = count[feature]
            total += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * count.total() / mean))
        return total

    return [score(count) for count in counted]
