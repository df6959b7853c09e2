"""Measures of labels: counted by hand, and equal to scikit-learn's where it is installed."""

import tracemalloc
import warnings

import numpy as np
import pytest

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics import (
    accuracy,
    common_confusion,
    confusion_matrix,
    label_counts,
    label_table,
    matthews_correlation,
    multi_label_counts,
    samples_f1,
)

GOLD = ["好", "好", "坏", "坏", "坏", "平"]
FOUND = ["好", "坏", "坏", "坏", "好", "坏"]


def test_by_hand() -> None:
    # right: 好 1, 坏 2, 平 0; predicted: 2, 4, 0; gold: 2, 3, 1
    counts = label_counts(GOLD, FOUND)
    assert accuracy(GOLD, FOUND).value == 0.5
    table = {row.label: row for row in counts.table()}
    assert table["坏"].precision == 0.5
    assert table["坏"].recall == pytest.approx(2 / 3)
    assert table["坏"].f1 == pytest.approx(4 / 7)
    assert table["平"] == ("平", 0.0, 0.0, 0.0, 1, 0)
    assert counts.f1("micro").value == 0.5
    assert counts.f1("macro").value == pytest.approx((1 / 2 + 4 / 7 + 0) / 3)
    assert counts.f1("weighted").value == pytest.approx((2 / 2 + 3 * 4 / 7) / 6)
    assert counts.precision("macro").value == pytest.approx((0.5 + 0.5) / 3)
    assert counts.of_class("好", "recall").value == 0.5
    assert counts.f1("macro").measurement().num == 6


def test_confusion_by_hand() -> None:
    names, cells = confusion_matrix(GOLD, FOUND, labels=["好", "坏", "平"])
    assert names == ["好", "坏", "平"]
    assert cells.tolist() == [[1, 1, 0], [1, 2, 0], [0, 1, 0]]


def test_rare_classes_are_put_together() -> None:
    gold, found = list("aaabbbccde"), list("aabbbacdde")
    names, cells = common_confusion(gold, found, most=2)
    assert names == ["a", "b", "other"]
    assert cells.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 4]]
    assert cells.sum() == len(gold)
    whole = confusion_matrix(gold, found)
    assert common_confusion(gold, found, most=5)[0] == whole[0]


def test_numbers_are_sorted_by_size() -> None:
    assert confusion_matrix([10, 2, 2], [2, 2, 10])[0] == ["2", "10"]


def test_matthews_by_hand() -> None:
    # tp 1, tn 2, fp 1, fn 0: (1 * 2 - 1 * 0) / sqrt(2 * 1 * 3 * 2)
    value = matthews_correlation([1, 0, 0, 0], [1, 0, 0, 1]).value
    assert value == pytest.approx(2 / 12**0.5)
    assert matthews_correlation([1, 0], [1, 1]).value == 0.0
    assert matthews_correlation([1, 0, 2], [1, 0, 2]).value == pytest.approx(1.0)


def test_the_table_of_many_items_needs_no_row_for_each() -> None:
    assert label_table(GOLD, FOUND) == label_counts(GOLD, FOUND).table()
    random = np.random.default_rng(0)
    gold, found = ([f"tag{k}" for k in random.integers(40, size=20_000)] for _ in range(2))
    tracemalloc.start()
    table = label_table(gold, found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 40
    assert peak < 4_000_000  # 19 MB with a row of three numbers a class for each item


def test_several_labels_by_hand() -> None:
    gold = [{"a", "b"}, {"b"}, set()]
    found = [{"a"}, {"b", "c"}, set()]
    counts = multi_label_counts(gold, found)
    assert counts.f1("micro").value == pytest.approx(2 * 2 / (3 + 3))
    assert counts.f1("macro").value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert samples_f1(counts).value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_a_class_that_occurs_nowhere_is_left_out_of_the_mean() -> None:
    assert label_counts(["a"], ["a"], labels=["a", "b"]).f1("macro").value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(seed)
    gold = random.integers(5, size=200).tolist()
    found = random.choice([0, 1, 2, 3, 7], size=200).tolist()
    counts = label_counts(gold, found)
    assert accuracy(gold, found).value == pytest.approx(metrics.accuracy_score(gold, found))
    assert matthews_correlation(gold, found).value == pytest.approx(
        metrics.matthews_corrcoef(gold, found)
    )
    assert (confusion_matrix(gold, found)[1] == metrics.confusion_matrix(gold, found)).all()
    for average in ("micro", "macro", "weighted"):
        p, r, f, _ = metrics.precision_recall_fscore_support(
            gold, found, average=average, zero_division=0
        )
        assert counts.precision(average).value == pytest.approx(p)
        assert counts.recall(average).value == pytest.approx(r)
        assert counts.f1(average).value == pytest.approx(f)
    per_class = metrics.precision_recall_fscore_support(gold, found, zero_division=0)
    assert np.array(counts.table())[:, 1:5].astype(float) == pytest.approx(np.array(per_class).T)


@pytest.mark.parametrize("seed", range(3))
def test_several_labels_as_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(seed)
    gold, found = (random.random((50, 4)) < 0.4 for _ in range(2))
    names = "abcd"
    counts = multi_label_counts(
        *([{names[i] for i in np.flatnonzero(row)} for row in side] for side in (gold, found))
    )
    for average in ("micro", "macro", "weighted"):
        expected = metrics.f1_score(gold, found, average=average, zero_division=0)
        assert counts.f1(average).value == pytest.approx(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = metrics.f1_score(gold, found, average="samples", zero_division=0)
    assert samples_f1(counts).value == pytest.approx(expected)


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="as many"):
        accuracy(["a"], ["a", "b"])
    with pytest.raises(DataError, match="nothing to measure"):
        accuracy([], [])
    with pytest.raises(DataError, match="not among the classes"):
        label_counts(["a"], ["b"], labels=["a"])
    with pytest.raises(DataError, match="not among the classes"):
        multi_label_counts([{"a"}], [{"b"}], labels=["a"])
    with pytest.raises(ConfigError, match="unknown average"):
        label_counts(["a"], ["a"]).f1("mean")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no class"):
        label_counts(["a"], ["a"]).of_class("b")


def test_many_classes_are_counted_once() -> None:
    random = np.random.default_rng(0)
    gold, found = ([f"class {k}" for k in random.integers(200, size=4000)] for _ in range(2))
    tracemalloc.start()
    counts = label_counts(gold, found)
    statistics = [counts.f1("macro"), counts.f1("weighted")]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statistics[0].rows_NK is statistics[1].rows_NK
    assert peak < 1.3 * statistics[0].rows_NK.nbytes  # twice with parts of their own
    for part_NC, wanted in ((counts.gold_NC, gold), (counts.predicted_NC, found)):
        assert [counts.labels[code] for code in part_NC.argmax(axis=1)] == wanted
    assert counts.right_NC.sum() == sum(a == b for a, b in zip(gold, found, strict=True))
