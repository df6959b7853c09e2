"""Measures of labels: one an item, or any number of them.

Shape letters: N items, C classes, K quantities.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError
from homespun.evaluation.metrics.counts import ClassCounts, ClassRow
from homespun.evaluation.metrics.statistics import (
    Floats,
    Statistics,
    check_lengths,
    join_signature,
    mean_statistics,
    safe_ratio,
)


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> Statistics:
    """Share of items whose label is the gold one."""
    check_lengths(gold=gold, predicted=predicted)
    right_N = np.array([g == p for g, p in zip(gold, predicted, strict=True)], dtype=np.float64)
    return mean_statistics("accuracy", right_N, "kind:labels", is_share=True)


def label_counts(
    gold: Sequence[Hashable],
    predicted: Sequence[Hashable],
    labels: Sequence[Hashable] | None = None,
) -> ClassCounts:
    """Precision, recall, F1 and the table of classes, for one label an item.

    Args:
        gold, predicted: N labels each.
        labels: the classes in order; by default all that occur, sorted by name. Classes that
            occur on neither side are left out of macro means.

    Raises:
        DataError: lengths differ, or a label is not among `labels`.
    """
    names, codes_gold_N, codes_predicted_N = _coded(gold, predicted, labels)
    counts = ClassCounts.empty(len(codes_gold_N), names, "labels")
    every_N, right_N = np.arange(len(codes_gold_N)), codes_gold_N == codes_predicted_N
    counts.gold_NC[every_N, codes_gold_N] = 1.0
    counts.predicted_NC[every_N, codes_predicted_N] = 1.0
    counts.right_NC[every_N[right_N], codes_gold_N[right_N]] = 1.0
    return counts


def label_table(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> list[ClassRow]:
    """`label_counts(gold, predicted).table()`, in memory of C x C and not of N x C numbers.

    Raises:
        DataError: lengths differ.
    """
    names, cells_CC = confusion_matrix(gold, predicted)
    sums_K = np.concatenate([np.diag(cells_CC), cells_CC.sum(axis=0), cells_CC.sum(axis=1)])
    return ClassCounts(names, sums_K[None].astype(np.float64), "labels").table()


def multi_label_counts(
    gold: Sequence[Collection[str]],
    predicted: Sequence[Collection[str]],
    labels: Sequence[str] | None = None,
) -> ClassCounts:
    """The same where an item has any number of labels.

    Args:
        gold, predicted: N sets of labels each; a set may be empty.
        labels: as for `label_counts`.

    Raises:
        DataError: lengths differ, or a label is not among `labels`.
    """
    check_lengths(gold=gold, predicted=predicted)
    seen = sorted({label for labels in (*gold, *predicted) for label in labels})
    names = list(labels) if labels is not None else seen
    counts = ClassCounts.empty(len(gold), names, "multi-label")
    _mark(counts.gold_NC, gold, names)
    _mark(counts.predicted_NC, predicted, names)
    np.multiply(counts.gold_NC, counts.predicted_NC, out=counts.right_NC)
    return counts


def samples_f1(counts: ClassCounts) -> Statistics:
    """Mean over items of the F1 of their sets; 0 for an item with none on both sides.

    scikit-learn calls it `average="samples"`.
    """
    right_N = counts.right_NC.sum(axis=1)
    sizes_N = counts.predicted_NC.sum(axis=1) + counts.gold_NC.sum(axis=1)
    return mean_statistics(
        "samples F1",
        safe_ratio(2 * right_N, sizes_N),
        f"kind:{counts.kind}|average:samples",
        is_share=True,
    )


def confusion_matrix(
    gold: Sequence[Hashable],
    predicted: Sequence[Hashable],
    labels: Sequence[Hashable] | None = None,
) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the classes, and (C, C) counts: gold down, predicted across."""
    names, codes_gold_N, codes_predicted_N = _coded(gold, predicted, labels)
    size = len(names)
    cells = np.bincount(codes_gold_N * size + codes_predicted_N, minlength=size * size)
    return names, cells.reshape(size, size).astype(np.int64)


def common_confusion(
    gold: Sequence[Hashable], predicted: Sequence[Hashable], *, most: int = 20
) -> tuple[list[str], NDArray[np.int64]]:
    """`confusion_matrix` of the `most` classes that are met most often, by default as many as a
    page can show; all others together in a last row and column "other"."""
    names, cells = confusion_matrix(gold, predicted)
    if len(names) <= most:
        return names, cells
    met = cells.sum(0) + cells.sum(1)
    order = np.argsort(-met, kind="stable")
    kept, rest = np.sort(order[:most]), order[most:]
    rows = np.vstack([cells[kept], cells[rest].sum(0, keepdims=True)])
    table = np.hstack([rows[:, kept], rows[:, rest].sum(1, keepdims=True)])
    return [*(names[k] for k in kept), "other"], table


def matthews_correlation(
    gold: Sequence[Hashable],
    predicted: Sequence[Hashable],
    labels: Sequence[Hashable] | None = None,
) -> Statistics:
    """Correlation of gold and predicted classes, -1 … 1 (Matthews 1975; Gorodkin 2004, eq. 8).

    0 where one side knows only one class.

    Args:
        gold, predicted, labels: as for `label_counts`.
    """
    counts = label_counts(gold, predicted, labels)
    size = len(counts.labels)

    def value_of(sums_K: Floats) -> Floats:
        right, total = sums_K[..., 0], sums_K[..., 1]
        predicted_C, gold_C = sums_K[..., 2 : 2 + size], sums_K[..., 2 + size :]
        covariance = right * total - (predicted_C * gold_C).sum(-1)
        spread_predicted = total**2 - (predicted_C**2).sum(-1)
        spread_gold = total**2 - (gold_C**2).sum(-1)
        return safe_ratio(covariance, np.sqrt(spread_predicted * spread_gold))

    right_N = counts.right_NC.sum(axis=1, keepdims=True)
    rows_NK = np.concatenate(
        [right_N, np.ones_like(right_N), counts.predicted_NC, counts.gold_NC], axis=1
    )
    signature = join_signature(kind="labels", classes=size)
    return Statistics("Matthews correlation", signature, rows_NK, value_of)


def _coded(
    gold: Sequence[Hashable],
    predicted: Sequence[Hashable],
    labels: Sequence[Hashable] | None,
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    check_lengths(gold=gold, predicted=predicted)
    seen = sorted({*gold, *predicted}, key=lambda label: (str(type(label)), _order(label)))
    classes = list(labels) if labels is not None else seen
    codes = {label: code for code, label in enumerate(classes)}
    try:
        coded = [np.array([codes[label] for label in side]) for side in (gold, predicted)]
    except KeyError as error:
        raise _unknown(error.args[0], classes) from None
    return [str(label) for label in classes], coded[0], coded[1]


def _order(label: Hashable) -> tuple[float, str]:
    """Numbers by size, all else by name."""
    return (float(label), "") if isinstance(label, int | float) else (0.0, str(label))


def _mark(out_NC: Floats, sets: Sequence[Collection[str]], names: Sequence[str]) -> None:
    codes = {label: code for code, label in enumerate(names)}
    for row, labels in zip(out_NC, sets, strict=True):
        for label in labels:
            if label not in codes:
                raise _unknown(label, names)
            row[codes[label]] = 1.0


def _unknown(label: object, names: Sequence[Hashable]) -> DataError:
    return DataError(
        "a label is not among the classes", got=label, remedy=f"the classes are {list(names)}"
    )
