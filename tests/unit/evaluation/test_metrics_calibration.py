"""Calibration by hand, and against a loop over bins."""

import math

import numpy as np
import pytest

from homespun.core import ConfigError, DataError, Score, perplexity_of
from homespun.evaluation.metrics import (
    bits_per_byte,
    bits_per_byte_statistics,
    bits_per_token,
    brier_score,
    brier_score_of_classes,
    expected_calibration_error,
    paired_bootstrap,
    perplexity,
    perplexity_statistics,
)


def test_calibration_by_hand() -> None:
    # bins of a half: {0.2, 0.5} with one right, {0.9, 0.7} with both
    value = expected_calibration_error([0.2, 0.5, 0.9, 0.7], [0, 1, 1, 1], num_bins=2).value
    assert value == pytest.approx(0.5 * abs(0.5 - 0.35) + 0.5 * abs(1 - 0.8))
    assert expected_calibration_error([1.0, 0.0], [1, 0]).value == 0.0


def calibration_obvious(confidence: list[float], right: list[bool], num_bins: int) -> float:
    total = 0.0
    for number in range(num_bins):
        low, high = number / num_bins, (number + 1) / num_bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high or c == low == 0]
        if inside:
            mean = sum(confidence[i] for i in inside) / len(inside)
            share = sum(right[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(share - mean)
    return total


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_fast_and_slow_agree(num_bins: int) -> None:
    random = np.random.default_rng(num_bins)
    confidence = random.random(300)
    right = random.random(300) < confidence**2
    value = expected_calibration_error(confidence, right, num_bins=num_bins).value
    assert value == pytest.approx(calibration_obvious(list(confidence), list(right), num_bins))


def test_brier_by_hand() -> None:
    assert brier_score([0.8, 0.3], [1, 0]).value == pytest.approx((0.04 + 0.09) / 2)
    of_classes = brier_score_of_classes([[0.7, 0.2, 0.1], [0, 0, 1]], [0, 1])
    assert of_classes.values() == pytest.approx([0.09 + 0.04 + 0.01, 2.0])
    assert of_classes.value == pytest.approx(2.14 / 2)


def test_brier_as_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(0)
    probability, true = random.random(50), random.random(50) < 0.5
    expected = metrics.brier_score_loss(true, probability)
    assert brier_score(probability, true).value == pytest.approx(expected)


def test_perplexity_and_bits() -> None:
    assert perplexity(math.log(8), 3) == pytest.approx(2.0)
    assert bits_per_token(math.log(8), 3) == pytest.approx(1.0)
    assert bits_per_byte(math.log(8), 6) == Score(math.log(8), 6, 3).bits_per_byte
    nats, sizes = [math.log(4), math.log(2)], [1, 2]
    assert perplexity_statistics(nats, sizes).value == pytest.approx(2.0)
    assert bits_per_byte_statistics(nats, sizes).value == pytest.approx(1.0)


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="must be 0 … 1"):
        expected_calibration_error([1.2], [1])
    with pytest.raises(DataError, match="must be 0 … 1"):
        brier_score([float("nan")], [1])
    with pytest.raises(ConfigError, match="one bin"):
        expected_calibration_error([0.2], [1], num_bins=0)
    with pytest.raises(DataError, match="item 1 must sum to 1"):
        brier_score_of_classes([[0.5, 0.5], [0.5, 0.2]], [0, 0])
    with pytest.raises(DataError, match="items and classes"):
        brier_score_of_classes([0.5, 0.5], [0, 1])
    with pytest.raises(DataError, match="gold classes"):
        brier_score_of_classes([[0.5, 0.5]], [2])
    with pytest.raises(DataError, match="no tokens"):
        perplexity(1.0, 0)


def test_the_perplexity_of_a_model_that_knows_nothing_is_the_same_number_everywhere() -> None:
    most = perplexity(1e6, 10)
    assert 1e300 < most < math.inf
    assert perplexity_of(math.inf) == Score(1e6, 1, 10).perplexity == most
    assert perplexity_statistics([1e6, 1.0], [1, 1]).value == pytest.approx(most)
    assert Score(math.log(8), 1, 3).perplexity == pytest.approx(2.0)
    assert math.isnan(perplexity(math.nan, 10))
    # What is drawn of it anew is no difference of infinities.
    knowing = perplexity_statistics([1.0] * 9, [1] * 9)
    nothing = perplexity_statistics([1e6] * 9, [1] * 9)
    found = paired_bootstrap(nothing, nothing, np.random.default_rng(0))
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert paired_bootstrap(nothing, knowing, np.random.default_rng(0)).difference < math.inf
