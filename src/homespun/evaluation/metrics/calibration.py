"""Whether probabilities mean what they say; perplexity, and bits a byte or token.

Shape letters: N items, C classes, B bins, K quantities.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homespun.core import ConfigError, DataError, perplexity_of
from homespun.core.types import MOST_NATS
from homespun.evaluation.metrics.statistics import (
    Floats,
    Statistics,
    check_lengths,
    join_signature,
    mean_statistics,
    ratio_statistics,
    safe_ratio,
)


def expected_calibration_error(
    confidence_N: ArrayLike, is_right_N: ArrayLike, *, num_bins: int = 15
) -> Statistics:
    """Mean distance of confidence and accuracy over bins of equal width (Guo et al. 2017, eq. 3).

    A bin holds its upper border; the first holds 0 as well. Biased upwards for few items.

    Args:
        confidence_N: probability given to the answer that was chosen.
        is_right_N: whether it was right.
        num_bins: B.

    Raises:
        DataError: lengths differ, or a confidence is not 0 … 1.
    """
    if num_bins < 1:
        raise ConfigError("at least one bin is needed", got=num_bins, remedy="take 15")
    confidence = _probabilities(confidence_N)
    right = np.asarray(is_right_N, dtype=np.float64)
    num = check_lengths(confidence=confidence, is_right=right)
    borders = np.linspace(0.0, 1.0, num_bins + 1)
    bin_N = np.clip(np.searchsorted(borders, confidence, side="left") - 1, 0, num_bins - 1)
    rows_NK = np.zeros((num, 1 + num_bins))
    rows_NK[:, 0] = 1.0
    # |accuracy - confidence| of a bin, times its items, is the absolute sum of the gaps in it.
    rows_NK[np.arange(num), 1 + bin_N] = right - confidence

    def value_of(sums_K: Floats) -> Floats:
        return safe_ratio(np.abs(sums_K[..., 1:]).sum(axis=-1), sums_K[..., 0])

    signature = join_signature(bins=num_bins, width="equal")
    return Statistics("expected calibration error", signature, rows_NK, value_of)


def brier_score(probability_N: ArrayLike, is_true_N: ArrayLike) -> Statistics:
    """Mean squared distance of a probability and what came true, 0 … 1 (two classes)."""
    probability = _probabilities(probability_N)
    true = np.asarray(is_true_N, dtype=np.float64)
    check_lengths(probability=probability, is_true=true)
    return mean_statistics("Brier score", (probability - true) ** 2, "classes:2|sum:one")


def brier_score_of_classes(probability_NC: ArrayLike, gold_N: ArrayLike) -> Statistics:
    """The same summed over classes, 0 … 2 (Brier 1950, eq. 2).

    Args:
        probability_NC: of each class, rows of sum 1.
        gold_N: number of the right class.

    Raises:
        DataError: lengths differ, rows do not sum to 1, or a gold class is none of the C.
    """
    probability = _probabilities(probability_NC)
    gold: NDArray[np.int64] = np.asarray(gold_N, dtype=np.int64)
    check_lengths(probability=probability, gold=gold)
    if probability.ndim != 2:
        raise DataError(
            "probabilities must be a table of items and classes",
            got=f"shape {probability.shape}",
            remedy="give a row for each item, or take brier_score for one probability an item",
        )
    num_classes = probability.shape[1]
    off_N = np.abs(probability.sum(axis=1) - 1)
    if off_N.max() > 1e-4:
        worst = int(off_N.argmax())
        raise DataError(
            f"probabilities of item {worst} must sum to 1",
            got=float(probability[worst].sum()),
            remedy="divide each row by its sum",
        )
    if gold.min() < 0 or gold.max() >= num_classes:
        raise DataError(
            f"gold classes must be 0 … {num_classes - 1}",
            got=f"{gold.min()} to {gold.max()}",
            remedy="number the classes as the columns of the probabilities",
        )
    losses_N = ((probability - np.eye(num_classes)[gold]) ** 2).sum(axis=1)
    return mean_statistics("Brier score", losses_N, f"classes:{num_classes}|sum:all")


def perplexity(nats: float, num_tokens: int) -> float:
    """exp(nats / tokens), see `core.perplexity_of`: compares models of one tokenizer."""
    _check_num("tokens", num_tokens)
    return perplexity_of(nats / num_tokens)


def bits_per_token(nats: float, num_tokens: int) -> float:
    _check_num("tokens", num_tokens)
    return nats / math.log(2) / num_tokens


def bits_per_byte(nats: float, num_bytes: int) -> float:
    """nats / ln 2 / bytes: compares models of any tokenizer."""
    _check_num("bytes", num_bytes)
    return nats / math.log(2) / num_bytes


def bits_per_byte_statistics(nats_N: ArrayLike, num_bytes_N: ArrayLike) -> Statistics:
    """Bits per byte with documents as the items, for intervals and comparisons."""
    nats = np.asarray(nats_N, dtype=np.float64)
    num_bytes = np.asarray(num_bytes_N, dtype=np.float64)
    check_lengths(nats=nats, num_bytes=num_bytes)
    return ratio_statistics("bits per byte", nats / math.log(2), num_bytes, "unit:utf-8")


def perplexity_statistics(nats_N: ArrayLike, num_tokens_N: ArrayLike) -> Statistics:
    """Perplexity with documents as the items; no higher than `perplexity`, so that the difference
    of two models that know nothing is a number too."""
    nats = np.asarray(nats_N, dtype=np.float64)
    num_tokens = np.asarray(num_tokens_N, dtype=np.float64)
    check_lengths(nats=nats, num_tokens=num_tokens)

    def value_of(sums_2: Floats) -> Floats:
        return np.exp(np.minimum(safe_ratio(sums_2[..., 0], sums_2[..., 1]), MOST_NATS))

    rows_N2 = np.stack([nats, num_tokens], axis=-1)
    return Statistics("perplexity", "unit:token", rows_N2, value_of)


def _probabilities(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
        raise DataError(
            "probabilities must be 0 … 1",
            got=f"{array.min()} to {array.max()}",
            remedy="give probabilities, not scores or per cent",
        )
    return array


def _check_num(unit: str, num: int) -> None:
    if num < 1:
        raise DataError(f"there are no {unit} to divide by", got=num, remedy="score some text")
