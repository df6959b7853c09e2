"""Intervals and tests: by hand, against slow twins, and right as often as they say."""

import time
from typing import Any

import numpy as np
import pytest

from homespun.core import ConfigError, DataError
from homespun.evaluation.intervals import bootstrap_ratio, expanded_p_value, expanded_tail
from homespun.evaluation.metrics import (
    accuracy,
    approximate_randomisation,
    bleu,
    bootstrap,
    by_group,
    compared,
    label_counts,
    matthews_correlation,
    paired_bootstrap,
    token_accuracy,
    unvaried_interval,
    wilson_interval,
    with_interval,
)
from homespun.evaluation.metrics.statistics import (
    Measurement,
    Statistics,
    mean_statistics,
    ratio_statistics,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def noisy_pair(num: int = 60) -> tuple[list[str], list[str], list[str]]:
    """References of ten words, a system that gets 80% of them and one that gets 60%."""
    random = np.random.default_rng(5)
    words = [f"w{i}" for i in range(50)]
    references = [random.choice(words, size=10).tolist() for _ in range(num)]

    def system(share: float) -> list[str]:
        return [
            " ".join(w if random.random() < share else "x" for w in words) for words in references
        ]

    return system(0.8), system(0.6), [" ".join(words) for words in references]


def test_bootstrap_is_that_of_ratios() -> None:
    random = np.random.default_rng(1)
    tops, bottoms = random.random(40), random.random(40) + 1
    found = bootstrap(ratio_statistics("ratio", tops, bottoms), generator(7))
    slow = bootstrap_ratio(tops, bottoms, seed=7)
    assert (found.low, found.high) == pytest.approx(slow)
    assert found.value == pytest.approx(tops.sum() / bottoms.sum())


def test_bootstrap_of_bleu_is_bleu_of_redrawn_sentences() -> None:
    ours, _, references = noisy_pair(20)
    statistics = bleu(ours, references, tokenize="none")
    found = bootstrap(statistics, generator(3), num_resamples=200)
    same = generator(3)
    slow = []
    for _ in range(200):
        drawn = same.integers(20, size=20)
        again = bleu([ours[i] for i in drawn], [references[i] for i in drawn], tokenize="none")
        slow.append(again.value)
    tail = 100 * expanded_tail(20)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, [tail, 100 - tail])))


def test_memory_is_bounded_without_changing_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = mean_statistics("mean", np.random.default_rng(0).random(30))
    whole = bootstrap(statistics, generator(), num_resamples=100)
    monkeypatch.setattr("homespun.evaluation.metrics.uncertainty._CELLS", 90)
    parts = bootstrap(statistics, generator(), num_resamples=100)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high))


def test_zeros_are_left_out_without_changing_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    gold = random.integers(50, size=300).tolist()
    found = [k if random.random() < 0.6 else random.integers(50) for k in gold]
    names = list(range(50))
    pair = [label_counts(gold, side, names).f1("macro") for side in (found, gold[::-1])]
    few = compared(*pair, generator()), bootstrap(pair[0], generator())
    products = []
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *a, **k: products.append(1) or matmul(*a, **k))
    assert (compared(*pair, generator()), bootstrap(pair[0], generator())) == few
    assert not products
    monkeypatch.setattr("homespun.evaluation.metrics.uncertainty._SPARSE", 10**9)
    assert (compared(*pair, generator()), bootstrap(pair[0], generator())) == few
    assert products


def test_macro_f1_and_matthews_of_draws_without_a_class() -> None:
    gold, found = ["a"] * 9 + ["b"], ["a"] * 9 + ["b"]
    for statistics in (label_counts(gold, found).f1("macro"), matthews_correlation(gold, found)):
        measured = bootstrap(statistics, generator())
        assert measured.high == pytest.approx(1.0)
    macro = bootstrap(label_counts(gold, found).f1("macro"), generator())
    assert macro.low == 1.0  # all that is there is right in every draw


def test_no_interval_for_a_handful() -> None:
    measured = bootstrap(accuracy("abc", "abd"), generator())
    assert measured == Measurement("accuracy", pytest.approx(2 / 3), None, None, 3, "kind:labels")
    assert str(measured) == "accuracy 0.6667 (n=3, kind:labels)"


def test_wilson_by_hand() -> None:
    # Brown et al.'s centre and half width for 8 of 10 with z = 1.96
    low, high = wilson_interval(8, 10)
    assert (low, high) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson_interval(10, 10)[1] == 1.0
    narrow = wilson_interval(8, 10, confidence=0.5)
    assert low < narrow[0] < 0.8 < narrow[1] < high


def test_what_is_right_or_wrong_has_wilsons_interval() -> None:
    for right in (0, 3, 10):
        found = with_interval(accuracy("a" * 10, "a" * right + "b" * (10 - right)), generator())
        assert (found.low, found.high) == pytest.approx(wilson_interval(right, 10))
    # Not so what may lie between, nor what only happens to be 0 or 1.
    between = mean_statistics("x", np.array([0.0, 1.0] * 5 + [0.5]), is_share=True)
    assert with_interval(between, generator()) == bootstrap(between, generator())
    errors = mean_statistics("x", np.array([0.0, 1.0] * 5))
    assert with_interval(errors, generator()) == bootstrap(errors, generator())
    assert with_interval(accuracy("abc", "abc"), generator()).low is None


def test_copies_that_are_right_or_wrong_together_leave_wilsons_interval() -> None:
    each = accuracy("a" * 100, "b" + "a" * 99)
    alone = with_interval(each, generator())
    assert (alone.low, alone.high) == wilson_interval(99, 100)
    merged = by_group(each, [*map(str, range(99)), "98"], name="x")
    found = with_interval(merged, generator())
    num = 100**2 / 102  # 98 items of one row, one of two
    assert (found.low, found.high) == pytest.approx(wilson_interval(0.99 * num, num))
    assert found.low is not None
    assert alone.low is not None
    assert found.low < alone.low
    # Copies of which one is right and one wrong are redrawn.
    both = by_group(each, ["0", "0", *map(str, range(2, 100))], name="x")
    assert with_interval(both, generator()) == bootstrap(both, generator())


def test_redraws_that_are_all_alike_are_no_certainty() -> None:
    tags = [["B", "O"] * 3] * 20
    whole = with_interval(token_accuracy(tags, tags), generator())
    # As sure as of 20 sentences that are right or wrong, not of 120 tokens.
    assert (whole.low, whole.high) == pytest.approx(wilson_interval(20, 20))
    # One long sentence among short ones leaves fewer that count.
    uneven = [["B", "O"] * 30, *tags[1:]]
    low = with_interval(token_accuracy(uneven, uneven), generator()).low
    assert low is not None
    assert low < wilson_interval(10, 10)[0]
    half = with_interval(mean_statistics("F1", np.full(10, 0.5), is_share=True), generator())
    assert (half.low, half.high) == pytest.approx((0.5 * (1 - 0.27753), 0.5 * (1 + 0.27753)), 1e-4)
    for statistics in (
        label_counts("ab" * 10, "ab" * 10).f1("macro"),
        mean_statistics("nats", np.full(10, 0.3)),
        bleu(["a b c d e"] * 10, ["a b c d e"] * 10),
        ratio_statistics("copied", np.zeros(9), np.zeros(9), is_share=True),
    ):
        found = with_interval(statistics, generator())
        assert (found.low, found.high) == (None, None)
        assert found.value == pytest.approx(statistics.value)


@pytest.mark.parametrize("share", [0.8, 0.95, 0.99])
def test_intervals_hold_the_truth_as_often_as_promised(share: float) -> None:
    random = np.random.default_rng(3)
    held = []
    for _ in range(300):
        right = random.random(30) < share
        found = with_interval(mean_statistics("x", right, is_share=True), generator())
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= share <= found.high)
    assert np.mean(held) > 0.9  # a bootstrap has 0.26 at a share of 0.99


def test_unvaried_by_hand() -> None:
    for num in (8, 10, 500):
        assert unvaried_interval(1.0, num) == pytest.approx(wilson_interval(num, num))
        assert unvaried_interval(0.0, num) == pytest.approx(wilson_interval(0, num))
    low, high = unvaried_interval(0.0, 10, least=-1.0)
    assert (low, high) == pytest.approx((-0.27753, 0.27753), abs=1e-5)
    assert unvaried_interval(1.0, 10, least=-1.0) == pytest.approx((1 - 2 * high, 1.0))
    for value, num in ((2.0, 10), (0.5, 0)):
        with pytest.raises(DataError, match="between the least and the most"):
            unvaried_interval(value, num)


def test_systems_that_never_differ_or_always_do_are_compared_soberly() -> None:
    right, wrong = accuracy("a" * 10, "a" * 10), accuracy("a" * 10, "b" * 10)
    same = compared(right, right, generator())
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert (same.low, same.high) == pytest.approx(unvaried_interval(0.0, 10, least=-1.0))
    # Ten of ten: exchanged at random, 2 draws of 1,024 are as far apart.
    apart = compared(right, wrong, generator())
    assert apart.p_value == pytest.approx(2 / 1024, abs=0.003)
    assert apart.low is not None
    assert 0 < apart.low < apart.difference == apart.high == 1.0
    assert "test:randomisation" in apart.signature
    macro = [label_counts("ab" * 10, said).f1("macro") for said in ("ab" * 10, "ab" * 10)]
    alike = compared(*macro, generator())
    assert (alike.low, alike.high, alike.p_value) == (None, None, 1.0)
    good, bad, references = noisy_pair()
    a, b = (bleu(side, references, tokenize="none") for side in (good, bad))
    assert compared(a, b, generator()) == paired_bootstrap(a, b, generator())


def test_a_handful_of_items_proves_nothing() -> None:
    ours, theirs = np.array([0.9, 0.8, 0.7]), np.array([0.3, 0.3, 0.2])
    found = compared(mean_statistics("x", ours), mean_statistics("x", theirs), generator())
    # Exchanged at random, 2 draws of 8 are as far apart; a bootstrap says 0.001.
    assert found.p_value == pytest.approx(2 / 8, abs=0.05)
    assert (found.low, found.high) == (None, None)
    assert found.difference == pytest.approx(0.8 - 0.8 / 3)


def test_a_better_system_is_found_better_and_an_equal_one_is_not() -> None:
    good, bad, references = noisy_pair()
    a, b = (bleu(side, references, tokenize="none") for side in (good, bad))
    for test in (paired_bootstrap, approximate_randomisation):
        found = test(a, b, generator())
        assert found.difference == pytest.approx(a.value - b.value)
        least = 1 / 1001
        if test is paired_bootstrap:
            least = expanded_p_value(least, a.num)
        assert found.p_value == pytest.approx(least)
        same = test(a, a, generator())
        assert (same.difference, same.p_value) == (0.0, 1.0)
    interval = paired_bootstrap(a, b, generator())
    assert interval.low is not None
    assert interval.high is not None
    assert 0 < interval.low < interval.difference < interval.high
    assert "test:bootstrap|draws:1000" in interval.signature
    again = paired_bootstrap(a, b, generator())
    assert again == interval


def test_ends_of_intervals_are_students() -> None:
    # t of 7 degrees of freedom is 2.36462 at 97.5%; times the root of 8 / 7 it is 2.52789.
    assert expanded_tail(8) == pytest.approx(0.0057374, abs=1e-6)
    assert expanded_tail(100_000) == pytest.approx(0.025, abs=1e-4)
    for num in (3, 8, 50, 10_000):
        for confidence in (0.5, 0.95, 0.99):
            p_value = expanded_p_value(2 * expanded_tail(num, confidence), num)
            assert p_value == pytest.approx(1 - confidence)
        assert expanded_p_value(1.0, num) == pytest.approx(1.0)


@pytest.mark.parametrize(("num", "least"), [(8, 0.9), (15, 0.93)])
def test_intervals_of_few_items_hold_the_truth_more_nearly_as_often_as_promised(
    num: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> float:
        random = np.random.default_rng(7)
        found = []
        for trial in range(400):
            values = random.normal(size=num)
            ends = bootstrap_ratio(values, np.ones(num), seed=trial, num_resamples=400)
            assert ends is not None
            found.append(ends[0] <= 0 <= ends[1])
        return float(np.mean(found))

    expanded = held()
    assert least <= expanded <= 0.97
    monkeypatch.setattr("homespun.evaluation.intervals.expanded_tail", lambda _: 0.025)
    assert held() <= expanded - 0.01


def of_equal_systems(test: Any, *, num_items: int, trials: int, num_resamples: int) -> Any:
    """P-values of differences between systems that do not differ."""
    random = np.random.default_rng(11)
    found = []
    for trial in range(trials):
        a, b = (mean_statistics("x", random.normal(size=num_items)) for _ in range(2))
        found.append(test(a, b, generator(trial), num_resamples=num_resamples).p_value)
    return np.array(found)


def test_few_equal_systems_are_called_different_as_rarely_as_promised() -> None:
    p_values = of_equal_systems(paired_bootstrap, num_items=8, trials=500, num_resamples=300)
    assert 0.02 <= np.mean(p_values <= 0.05) <= 0.075


def test_randomisation_is_that_of_all_exchanges() -> None:
    a, b = np.array([3.0, 1.0, 4.0, 1.0, 5.0]), np.array([2.0, 1.5, 1.0, 1.0, 2.0])
    seen = abs((a - b).mean())
    signs = np.array([[1 - 2 * (k >> i & 1) for i in range(5)] for k in range(32)])
    exact = (np.abs((signs * (a - b)).mean(axis=1)) >= seen - 1e-12).mean()
    found = approximate_randomisation(
        mean_statistics("x", a), mean_statistics("x", b), generator(), num_resamples=20_000
    )
    assert found.p_value == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomisation])
def test_equal_systems_are_called_different_as_rarely_as_promised(test) -> None:
    p_values = of_equal_systems(test, num_items=40, trials=200, num_resamples=200)
    assert 0.01 <= np.mean(p_values <= 0.05) <= 0.10
    assert 0.4 <= np.mean(p_values <= 0.5) <= 0.6


def test_a_thousand_draws_of_a_thousand_sentences_are_quick() -> None:
    a, b, references = noisy_pair(1000)
    one, other = (bleu(side, references) for side in (a, b))
    start = time.process_time()
    paired_bootstrap(one, other, generator())
    assert time.process_time() - start < 2.0  # a tenth of it, on a machine that is idle


def test_what_cannot_be_compared_is_told() -> None:
    a = mean_statistics("x", np.ones(9))
    with pytest.raises(DataError, match="same measure"):
        paired_bootstrap(a, mean_statistics("x", np.ones(8)), generator())
    with pytest.raises(DataError, match="same measure"):
        approximate_randomisation(a, mean_statistics("y", np.ones(9)), generator())
    with pytest.raises(DataError, match="one item alone"):
        paired_bootstrap(*[mean_statistics("x", np.ones(1))] * 2, generator())
    with pytest.raises(ConfigError, match="one resample"):
        bootstrap(a, generator(), num_resamples=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        bootstrap(a, generator(), confidence=95)
    with pytest.raises(DataError, match="num_right"):
        wilson_interval(3, 2)
    assert isinstance(a, Statistics)
