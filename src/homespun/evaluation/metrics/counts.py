"""Precision, recall and F1 from counts of classes: of labels, of several labels, of spans.

A row of K = 3 C quantities an item: for each of C classes how many were right, predicted, and
there (gold). What is predicted but never right has a precision of 0, and what is never there a
recall of 0; so have those with no count at all, as in scikit-learn (`zero_division=0`).

Shape letters: N items, C classes, K quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, get_args

import numpy as np

from homespun.core import ConfigError, did_you_mean
from homespun.evaluation.metrics.statistics import Floats, Statistics, join_signature, safe_ratio

Average = Literal["micro", "macro", "weighted"]
Quantity = Literal["precision", "recall", "F1"]


class ClassRow(NamedTuple):
    """How one class fares. `num_gold` is what others call support."""

    label: str
    precision: float
    recall: float
    f1: float
    num_gold: int
    num_predicted: int


@dataclass(frozen=True)
class ClassCounts:
    """Counts of classes, item by item.

    Attributes:
        labels: names of the classes, in order.
        rows_NK: float64 counts, of all classes those right, then those predicted, then gold.
        kind: "labels", "spans" …, for the signature.
    """

    labels: Sequence[str]
    rows_NK: Floats
    kind: str

    @classmethod
    def empty(cls, num: int, labels: Sequence[str], kind: str) -> Self:
        """Counts of 0, to be filled in: of many classes there is no room for them twice."""
        return cls(labels, np.zeros((num, 3 * len(labels))), kind)

    @property
    def right_NC(self) -> Floats:  # noqa: N802 - shape letters
        """Part of `rows_NK`, not a copy."""
        return self.rows_NK[:, : len(self.labels)]

    @property
    def predicted_NC(self) -> Floats:  # noqa: N802 - shape letters
        """Part of `rows_NK`, not a copy."""
        return self.rows_NK[:, len(self.labels) : 2 * len(self.labels)]

    @property
    def gold_NC(self) -> Floats:  # noqa: N802 - shape letters
        """Part of `rows_NK`, not a copy."""
        return self.rows_NK[:, 2 * len(self.labels) :]

    def precision(self, average: Average = "micro") -> Statistics:
        return self._averaged("precision", average)

    def recall(self, average: Average = "micro") -> Statistics:
        return self._averaged("recall", average)

    def f1(self, average: Average = "micro") -> Statistics:
        """F1; macro is the mean of the classes' F1, not the F1 of mean precision and recall."""
        return self._averaged("F1", average)

    def of_class(self, label: str, quantity: Quantity = "F1") -> Statistics:
        """Of one class alone.

        Raises:
            ConfigError: there is no such class.
        """
        if label not in self.labels:
            raise ConfigError(
                f"there is no class {label}",
                got=f"{len(self.labels)} classes",
                remedy=did_you_mean(label, list(self.labels)),
            )
        number, size = list(self.labels).index(label), len(self.labels)
        rows_N3 = self.rows_NK[:, number::size]
        signature = join_signature(kind=self.kind, label=label)
        return Statistics(quantity, signature, rows_N3, _VALUES[quantity])

    def table(self) -> list[ClassRow]:
        """Every class."""
        sums = [part.sum(axis=0) for part in (self.right_NC, self.predicted_NC, self.gold_NC)]
        sums_C3 = np.stack(sums, axis=-1)
        precision_C, recall_C, f1_C = (one(sums_C3) for one in (_precision, _recall, _f1))
        return [
            ClassRow(
                label,
                precision=float(precision_C[i]),
                recall=float(recall_C[i]),
                f1=float(f1_C[i]),
                num_gold=int(sums_C3[i, 2]),
                num_predicted=int(sums_C3[i, 1]),
            )
            for i, label in enumerate(self.labels)
        ]

    def _averaged(self, quantity: Quantity, average: Average) -> Statistics:
        if average not in get_args(Average):
            raise ConfigError("unknown average", got=average, remedy=f"take {get_args(Average)}")
        value_one, size = _VALUES[quantity], len(self.labels)
        if average == "micro":  # of all classes together: which ones there are makes no difference
            parts = (self.right_NC, self.predicted_NC, self.gold_NC)
            rows_N3 = np.stack([part.sum(axis=1) for part in parts], axis=1)
            signature = join_signature(kind=self.kind, average=average)
            return Statistics(f"{average} {quantity}", signature, rows_N3, value_one)

        def value_of(sums_K: Floats) -> Floats:
            sums_3C = sums_K.reshape(*sums_K.shape[:-1], 3, size)
            sums_C3 = np.swapaxes(sums_3C, -1, -2)
            values_C = value_one(sums_C3)
            if average == "weighted":
                gold_C = sums_C3[..., 2]
                return safe_ratio((values_C * gold_C).sum(-1), gold_C.sum(-1))
            # A class that a draw has neither in gold nor in predictions would count as 0.
            there_C = sums_C3[..., 1:].sum(-1) > 0
            return safe_ratio((values_C * there_C).sum(-1), there_C.sum(-1).astype(np.float64))

        signature = join_signature(kind=self.kind, average=average, classes=size)
        return Statistics(f"{average} {quantity}", signature, self.rows_NK, value_of)


def _precision(sums_3: Floats) -> Floats:
    return safe_ratio(sums_3[..., 0], sums_3[..., 1])


def _recall(sums_3: Floats) -> Floats:
    return safe_ratio(sums_3[..., 0], sums_3[..., 2])


def _f1(sums_3: Floats) -> Floats:
    return safe_ratio(2 * sums_3[..., 0], sums_3[..., 1] + sums_3[..., 2])


_VALUES: dict[Quantity, Callable[[Floats], Floats]] = {
    "precision": _precision,
    "recall": _recall,
    "F1": _f1,
}
