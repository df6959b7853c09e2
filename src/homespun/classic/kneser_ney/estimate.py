"""Counted windows to interpolated Kneser-Ney probabilities.

Source: Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling",
Harvard TR-10-98 (1998); Kneser & Ney, "Improved backing-off for m-gram language modeling" (1995).
As in `classic.ngram`, with `<s>` and `</s>` told apart:

    p_k(w | h) = max(a(hw) - D(a(hw)), 0) / S(h)  +  gamma(h) p_{k-1}(w | h without its first)
    S(h) = sum_w a(hw)        gamma(h) = sum_w D(a(hw)) / S(h)        p_0(w) = 1 / (V - 1)

`a` is the count at the highest order and, below it, the number of different tokens to the left;
the count too for what begins with `<s>`, where nothing can stand to the left. `<s>` is predicted
by nobody, and p_0 shares out among the other V - 1, `<unk>` and `</s>` included. These are the
conventions of KenLM's estimator (Heafield et al., ACL 2013).

M records, N n-grams of an order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.kneser_ney.count import CHUNK_TOKENS, Packing, count_windows
from homespun.classic.kneser_ney.kernels import Counts, Ids, Kernels, Level, Words
from homespun.classic.kneser_ney.vocabulary import END_ID, START_ID
from homespun.classic.ngram import modified_discounts
from homespun.core import ConfigError, DataError

DiscountKind = Literal["modified", "absolute"]
DEFAULT_DISCOUNT = 0.5
"""Where the counts of counts do not tell, as in a tiny text."""
NEVER = -99.0
"""log10 of a probability of 0, as ARPA files write it."""


class Smoothing(NamedTuple):
    """How counts become probabilities.

    Attributes:
        discounts: "modified" takes D1, D2 and D3+ off, by the count; "absolute" one D off all.
        discount: the one D of all orders, between 0 and 1; None estimates it for each order as
            n1 / (n1 + 2 n2) (Ney, Essen & Kneser 1994). Only with "absolute".
        interpolate_unigrams: False leaves the unigrams a(w) / S, undiscounted: what was not seen
            then has a probability of 0.
    """

    discounts: DiscountKind = "modified"
    discount: float | None = None
    interpolate_unigrams: bool = True

    def check(self) -> None:
        """Raises ConfigError where these make no sense."""
        if self.discounts not in ("modified", "absolute"):
            raise ConfigError(
                "discounts are modified or absolute", got=self.discounts, remedy="take one of them"
            )
        if self.discount is not None:
            if self.discounts == "modified":
                raise ConfigError(
                    "modified discounts are estimated", remedy='give discounts="absolute" too'
                )
            if not 0 < self.discount < 1:
                raise ConfigError(
                    "a discount lies between 0 and 1", got=self.discount, remedy="take 0.75"
                )

    def of(self, counts: NDArray[Any]) -> tuple[float, float, float]:
        """D1, D2, D3+ of an order with these adjusted counts."""
        if self.discounts == "modified":
            return modified_discounts(counts)
        d = self.discount
        if d is None:
            n1, n2 = (int(np.count_nonzero(counts == value)) for value in (1, 2))
            d = n1 / (n1 + 2 * n2) if n1 and n2 else DEFAULT_DISCOUNT
        return (d, d, d)


class _Grams(NamedTuple):
    """The n-grams of one order.

    Attributes:
        words: last token of each, (N,). parents: number of its first tokens in the order before.
        suffixes: number of its last tokens there. counts: how often each occurs.
    """

    words: Ids
    parents: Ids
    suffixes: Ids
    counts: Counts


def estimate(
    stream: NDArray[np.int32],
    *,
    order: int,
    vocab_size: int,
    smoothing: Smoothing,
    kernels: Kernels,
    chunk_tokens: int = CHUNK_TOKENS,
) -> list[Level]:
    """Levels 1 … `order` of the model of a stream of sentences, each `<s> … </s>`.

    Raises:
        DataError: no text, or more n-grams of an order than 2**31 - 1.
    """
    if not len(stream):
        raise DataError("there is no text to count", remedy="give at least one sentence")
    packing = Packing.of(order, vocab_size)
    records, counts = count_windows(
        stream, packing, end_id=END_ID, kernels=kernels, chunk_tokens=chunk_tokens
    )
    if len(records) >= 1 << 31:
        raise DataError("more than two billion n-grams", remedy="count a part of the text")
    splits = _Splits(records, counts, packing, vocab_size)
    smoother = _Smoother(vocab_size, smoothing)
    before = splits.unigrams()
    first: Ids = np.array([0, vocab_size], dtype=np.int32)  # unigrams follow upon nothing
    for k in range(2, order + 1):
        grams = splits.next(_find_suffixes(kernels, k, first, before))
        num_left = np.bincount(grams.suffixes, minlength=len(before.words))
        first = np.zeros(len(before.words) + 1, dtype=np.int32)
        np.cumsum(np.bincount(grams.parents, minlength=len(before.words)), out=first[1:])
        adjusted = np.where(num_left > 0, num_left, before.counts)
        smoother.add(before, adjusted, first)
        before = grams
    smoother.add(before, before.counts, np.zeros(0, dtype=np.int32))
    return smoother.levels()


def _find_suffixes(
    kernels: Kernels, k: int, first: Ids, before: _Grams
) -> Callable[[Ids, Ids], Ids]:
    """Numbers of the last k-1 tokens of k-grams, given their parents and last tokens.

    Without its first token, a k-gram is its parent's suffix and the same last token. `first` is
    of order k-2, and `before` of order k-1.
    """
    if k == 2:
        return lambda parents, words: words
    return lambda parents, words: kernels.find_children(
        first, before.words, before.suffixes[parents], words
    )


class _Splits:
    """The k-grams of sorted windows, from the shortest up."""

    def __init__(self, records: Words, counts: Counts, packing: Packing, vocab_size: int) -> None:
        self._records, self._counts, self._packing = records, counts, packing
        self._vocab_size = vocab_size
        self._ids_M = packing.column(records, 0)
        self._is_new_M = np.ones(len(records), dtype=np.bool_)
        self._is_new_M[1:] = self._ids_M[1:] != self._ids_M[:-1]
        self._place = 1

    def unigrams(self) -> _Grams:
        """All words, seen or not, `<s>` with a count of 0."""
        counts = np.zeros(self._vocab_size, dtype=np.int64)
        np.add.at(counts, self._ids_M, self._counts)
        counts[START_ID] = 0
        nothing = np.zeros(self._vocab_size, dtype=np.int32)
        return _Grams(np.arange(self._vocab_size, dtype=np.int32), nothing, nothing, counts)

    def next(self, find_suffixes: Callable[[Ids, Ids], Ids]) -> _Grams:
        """The n-grams that are a token longer than the last ones."""
        tokens_M = self._packing.column(self._records, self._place)
        self._place += 1
        is_there = tokens_M >= 0
        self._is_new_M[1:] |= tokens_M[1:] != tokens_M[:-1]
        is_first = self._is_new_M & is_there
        at = np.flatnonzero(is_first)
        words, parents = tokens_M[at], self._ids_M[at]
        # Windows without a token here stand between two n-grams and are none of them.
        counts = np.where(is_there, self._counts, 0)
        counts = np.add.reduceat(counts, at) if len(at) else counts[:0]
        self._ids_M = np.cumsum(is_first, dtype=np.int32)
        self._ids_M -= 1
        return _Grams(words, parents, find_suffixes(parents, words), counts)


class _Smoother:
    """Levels from adjusted counts, from the shortest up."""

    def __init__(self, vocab_size: int, smoothing: Smoothing) -> None:
        self._smoothing = smoothing
        self._p_shorter = np.full(1, 1 / max(1, vocab_size - 1))
        self._levels: list[Level] = []

    def add(self, grams: _Grams, adjusted: Counts, first: Ids) -> None:
        """The next order; `first` is empty for the highest."""
        is_lowest = not self._levels
        discount = np.array([0.0, *self._smoothing.of(adjusted)])
        if is_lowest and not self._smoothing.interpolate_unigrams:
            discount[:] = 0.0
        discounts = discount[np.minimum(adjusted, 3)]
        num_parents = 1 if is_lowest else len(self._levels[-1].words)
        totals = np.bincount(grams.parents, weights=adjusted, minlength=num_parents)
        seen = totals > 0
        totals[~seen] = 1.0
        freed = np.bincount(grams.parents, weights=discounts, minlength=num_parents)
        weight = np.where(seen, freed / totals, 1.0)
        p = np.subtract(adjusted, discounts, out=discounts)
        p /= totals[grams.parents]
        p += weight[grams.parents] * self._p_shorter[grams.suffixes]
        if is_lowest:
            p[START_ID] = 0.0
        else:
            last = self._levels[-1]
            self._levels[-1] = last._replace(backoff=_log(weight))
        self._p_shorter = p
        self._levels.append(Level(grams.words, first, _log(p), np.zeros(0, dtype=np.float32)))

    def levels(self) -> list[Level]:
        """All of them, when the highest has been added."""
        return self._levels


def _log(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """ln in single precision; of 0, what ARPA files write for it."""
    out = np.full(len(values), NEVER * np.log(10.0))
    np.log(values, out=out, where=values > 0)
    return out.astype(np.float32)
