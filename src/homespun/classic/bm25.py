"""Which texts a question is about, by shared words (BM25, Robertson and Zaragoza 2009).

Shape letters: N texts, V features, P occurrences: a feature in a text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.classic.store import are_names, load_parts, save_parts
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
        self._settings = {"k1": k1, "b": b}
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
        self._ids = {feature: number for number, feature in enumerate(rows)}
        sizes_V = np.array([len(found) for found in rows.values()], dtype=np.int64)
        self._stops_V = np.cumsum(sizes_V)
        self._rows_P = np.fromiter(chain.from_iterable(rows.values()), np.int32)
        tf_P = np.fromiter(chain.from_iterable(times.values()), np.float64)
        idf_V = np.log(1 + (self._num_texts - sizes_V + 0.5) / (sizes_V + 0.5))
        values_P = np.repeat(idf_V, sizes_V) * tf_P * (k1 + 1) / (tf_P + damp_N[self._rows_P])
        self._values_P: NDArray[np.float64] = values_P

    def __len__(self) -> int:
        return self._num_texts

    def scores(self, query: str) -> NDArray[np.float64]:
        """Of each text, shape (number of texts,); a feature of the query counts once."""
        total_N = np.zeros(self._num_texts)
        for feature in features(query):
            number = self._ids.get(feature)
            if number is not None:
                part = slice(self._stops_V[number - 1] if number else 0, self._stops_V[number])
                total_N[self._rows_P[part]] += self._values_P[part]
        return total_N

    def best(self, query: str, num: int) -> list[int]:
        """Numbers of the `num` best texts with a score above 0, best first."""
        scores_N = self.scores(query)
        order = np.argsort(-scores_N, kind="stable")[:num]
        return [int(number) for number in order if scores_N[number] > 0]

    def save(self, folder: Path) -> None:
        """Write it. Raises RunError or BudgetError where the folder cannot be written."""
        record = {
            "settings": self._settings,
            "texts": self._num_texts,
            "features": list(self._ids),
        }
        arrays: dict[str, NDArray[Any]] = {
            "stops": self._stops_V,
            "rows": self._rows_P,
            "values": self._values_P,
        }
        save_parts(folder, "bm25", record, arrays)

    @classmethod
    def load(cls, folder: Path) -> Bm25Index:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "bm25", _is_whole, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Bm25Index:
        found = cls([], **record["settings"])
        found._num_texts = record["texts"]
        found._ids = {feature: number for number, feature in enumerate(record["features"])}
        found._stops_V, found._rows_P = arrays["stops"], arrays["rows"]
        found._values_P = arrays["values"]
        return found


def _is_whole(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    stops_V, rows_P, values_P = arrays["stops"], arrays["rows"], arrays["values"]
    num = int(stops_V[-1]) if len(stops_V) else 0
    return (
        isinstance(record["texts"], int)
        and are_names(record["features"])
        and len(stops_V) == len(record["features"])
        and len(rows_P) == len(values_P) == num
        and bool((np.diff(stops_V) >= 0).all())
        and (not num or (int(rows_P.min()) >= 0 and int(rows_P.max()) < record["texts"]))
    )


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
