"""Interpolated modified Kneser-Ney n-grams over token ids, in sorted arrays.

Source: Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling",
Harvard TR-10-98 (1998) / Computer Speech and Language 13 (1999), section on modified Kneser-Ney:

    p_k(w | h) = max(a(hw) - D(a(hw)), 0) / S(h)  +  gamma(h) p_{k-1}(w | h without its first)
    S(h) = sum_w a(hw)        gamma(h) = sum_w D(a(hw)) / S(h)        p_0(w) = 1 / V

`a` is the count at the highest order and, below it, the number of different tokens seen to the
left (the raw count where nothing can stand to the left: at the start of a document). D is one of
D1, D2, D3+ by the value of `a`, estimated for each order from how many n-grams have a = 1 … 4.

Layout: the k-grams of an order are the sorted int64 keys `id of the first k-1 tokens * V + last
token`, and a k-gram's id is its index there. The id of a prefix is exact, so the keys are exact
for any vocabulary: there is no hash and no collision. `ngram_reference.py` says the same slowly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError, Score, Tokenizer

Ids = NDArray[Any]

# Discounts where the counts of counts say nothing (n = 0 somewhere, as in a tiny text or a
# vocabulary of bytes): half of each count at the least, the middle of the admissible range.
_FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
_TOKENS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Order:
    """One order of the table.

    Attributes:
        keys: sorted keys of its n-grams; at order 1 all V tokens, seen or not.
        mass: max(a - D, 0) / S(h) of each n-gram.
        backoff: gamma(h) of each prefix h; 1 where h was never continued.
        num_seen: n-grams that occur; the discount can take all mass of one that does.
    """

    keys: NDArray[np.int64]
    mass: NDArray[np.float64]
    backoff: NDArray[np.float64]
    num_seen: int


def modified_discounts(adjusted_counts: NDArray[Any]) -> tuple[float, float, float]:
    """D1, D2, D3+ of one order (Chen & Goodman 1998, equation 26).

    Falls back to one discount n1 / (n1 + 2 n2) for all (Ney's), and where that is not defined
    either to 0.5, 1, 1.5. Always 0 <= Dj <= j, so no mass is negative.

    Args:
        adjusted_counts: counts `a` of all n-grams of the order; zeros are ignored.
    """
    n1, n2, n3, n4 = (int(np.count_nonzero(adjusted_counts == count)) for count in (1, 2, 3, 4))
    if not (n1 and n2):
        return _FALLBACK_DISCOUNTS
    ney = n1 / (n1 + 2 * n2)
    if n3:
        discounts = (1 - 2 * ney * n2 / n1, 2 - 3 * ney * n3 / n2, 3 - 4 * ney * n4 / n3)
        if all(0 < d <= most for d, most in zip(discounts, (1, 2, 3), strict=True)):
            return discounts
    return (ney, ney, ney)


class KneserNey:
    """An n-gram table: `KneserNey(order=5, vocab_size=V, end_of_text_id=E).fit(documents)`.

    A document is its token ids without marks; E is its first history and, after its last token,
    predicted like any other token. Histories never cross documents.

    Args:
        order: longest n-gram, 1 to 16; 1 is a smoothed unigram.
        vocab_size: V; ids are 0 … V-1 and every one gets a probability above 0.
        end_of_text_id: E.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, *, order: int = 5, vocab_size: int, end_of_text_id: int) -> None:
        if not 1 <= vocab_size < 1 << 31:
            raise ConfigError(
                "a vocabulary has 1 to 2**31 - 1 ids",
                got=vocab_size,
                remedy="give the tokenizer's vocab_size",
            )
        if not 1 <= order <= 16:
            raise ConfigError("the order of an n-gram model is 1 to 16", got=order, remedy="take 5")
        if not 0 <= end_of_text_id < vocab_size:
            raise ConfigError(
                f"the end-of-text id must be one of the {vocab_size} ids",
                got=end_of_text_id,
                remedy="give the tokenizer's end_of_text_id",
            )
        self.order = order
        self.vocab_size = vocab_size
        self.end_of_text_id = end_of_text_id
        self._orders: list[_Order] = []

    @property
    def num_ngrams(self) -> tuple[int, ...]:
        """How many different n-grams each order holds, from 1 up."""
        return tuple(order.num_seen for order in self._orders)

    def tables(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
        """Keys, mass and backoff of each order from 1 up, as the module's text defines them: what
        another program needs to compute the same probabilities. Not copied."""
        self._check_fitted()
        return [(order.keys, order.mass, order.backoff) for order in self._orders]

    def fit(self, documents: Iterable[Ids]) -> Self:
        """Count `documents` (1-D id arrays) and forget what was fitted before.

        Time is that of sorting the tokens once an order: five million tokens at order 5 take
        3 seconds and 0.6 GB at the most.

        Raises:
            DataError: no documents, or an id outside the vocabulary.
        """
        tokens, place = self._mark(list(documents))
        if not len(tokens):
            raise DataError("there is no text to count", remedy="give at least one document")
        vocab = self.vocab_size
        keys = np.arange(vocab, dtype=np.int64)
        counts = np.bincount(tokens[place > 0], minlength=vocab)
        ids = tokens  # of the (k-1)-gram that ends at each token
        orders: list[_Order] = []
        num_prefixes = 1
        for k in range(2, self.order + 1):
            ends = np.flatnonzero(place >= k - 1)
            longer, ids_at_ends, examples = unique_keys(self._keys(ids[ends - 1], tokens[ends]))
            # Each different k-gram adds one different left neighbour to its last k-1 tokens.
            num_left = np.bincount(ids[ends[examples]], minlength=len(keys))
            del examples
            orders.append(
                self._smooth(keys, np.where(num_left > 0, num_left, counts), num_prefixes)
            )
            num_prefixes, keys, counts = len(keys), longer, np.bincount(ids_at_ends)
            ids = np.full(len(tokens), -1, dtype=np.int32)
            ids[ends] = ids_at_ends
            del ends, ids_at_ends, num_left
        orders.append(self._smooth(keys, counts, num_prefixes))
        self._orders = orders
        return self

    def document_nats(self, documents: Sequence[Ids]) -> NDArray[np.float64]:
        """Nats of each document, its end mark included, each scored alone."""
        parts = [
            np.add.reduceat(nats, np.flatnonzero(starts))
            for nats, starts in self._scored(documents)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def score_ids(self, documents: Sequence[Ids]) -> float:
        """Nats of all documents together."""
        return float(self.document_nats(documents).sum())

    def token_nats(self, document: Ids) -> NDArray[np.float64]:
        """Nats of each token of one document and of its end mark, `len(document) + 1` of them."""
        return np.concatenate([nats for nats, _ in self._scored([document])])

    def next_probabilities(self, history: Sequence[int]) -> NDArray[np.float64]:
        """The distribution p(next | history), shape (V,), summing to 1.

        Args:
            history: all tokens since the end-of-text mark, that mark not included.
        """
        self._check_fitted()
        words = [self.end_of_text_id, *map(int, history)]
        if not all(0 <= word < self.vocab_size for word in words):
            raise DataError(
                f"a token id is outside the vocabulary of {self.vocab_size}",
                got=f"{min(words)} to {max(words)}",
                remedy="use the tokenizer the table was made for",
            )
        unigrams = self._orders[0]
        p_V: NDArray[np.float64] = unigrams.mass + unigrams.backoff[0] / self.vocab_size
        for k in range(2, min(self.order, len(words) + 1) + 1):
            prefix = self._prefix_id(words[len(words) - k + 1 :])
            if prefix < 0:
                break  # a longer history that ends so was not seen either
            table = self._orders[k - 1]
            low, high = np.searchsorted(
                table.keys, [prefix * self.vocab_size, (prefix + 1) * self.vocab_size]
            )
            p_V = p_V * table.backoff[prefix]
            p_V[table.keys[low:high] % self.vocab_size] += table.mass[low:high]
        return p_V

    def generate(self, *, max_tokens: int, seed: int, prompt: Sequence[int] = ()) -> list[int]:
        """Sample a continuation of `prompt` until the end mark (left out) or `max_tokens`."""
        random = np.random.Generator(np.random.PCG64(seed))
        history = [int(word) for word in prompt]
        for _ in range(max_tokens):
            p_V = self.next_probabilities(history)
            word = int(random.choice(self.vocab_size, p=p_V / p_V.sum()))
            if word == self.end_of_text_id:
                break
            history.append(word)
        return history[len(prompt) :]

    def _smooth(self, keys: NDArray[np.int64], counts: NDArray[Any], num_prefixes: int) -> _Order:
        prefixes = keys // self.vocab_size  # at order 1 all 0: the one empty prefix
        num_seen = int(np.count_nonzero(counts))
        return _Order(keys, *smoothed(counts, prefixes, num_prefixes), num_seen)

    def _scored(
        self, documents: Sequence[Ids]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Yield (nats, is the first of its document) for the predicted tokens, in pieces."""
        self._check_fitted()
        for part in _parts(documents, _TOKENS_AT_ONCE):
            tokens, place = self._mark(part)
            unigrams = self._orders[0]
            p = unigrams.mass[tokens] + unigrams.backoff[0] / self.vocab_size
            ids = tokens
            for k in range(2, self.order + 1):
                table = self._orders[k - 1]
                ends = np.flatnonzero(place >= k - 1)
                ends = ends[ids[ends - 1] >= 0]
                prefixes = ids[ends - 1]
                found = _find(table.keys, self._keys(prefixes, tokens[ends]))
                mass = np.zeros(len(found))
                seen = found >= 0
                mass[seen] = table.mass[found[seen]]
                p[ends] = mass + table.backoff[prefixes] * p[ends]
                ids = np.full(len(tokens), -1, dtype=np.int32)
                ids[ends] = found
            predicted = place > 0
            yield -np.log(p[predicted]), place[predicted] == 1

    def _prefix_id(self, words: Sequence[int]) -> int:
        found = np.array([words[0]], dtype=np.int64)
        for length, word in enumerate(words[1:], start=2):
            found = _find(self._orders[length - 1].keys, found * self.vocab_size + word)
            if found[0] < 0:
                return -1
        return int(found[0])

    def _keys(self, prefixes: NDArray[np.int32], words: NDArray[np.int32]) -> NDArray[np.int64]:
        """Below 2**31 * 2**31, so they fit."""
        keys = prefixes.astype(np.int64)
        keys *= self.vocab_size
        keys += words
        return keys

    def _mark(self, documents: Sequence[Ids]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """All documents as `E d1 … dn E` one after another, and each token's place in its own."""
        lengths = np.array([len(document) + 2 for document in documents], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        if lengths.sum() >= 1 << 31:
            raise DataError("more than two billion tokens", remedy="count a part of the text")
        tokens = np.full(int(lengths.sum()), self.end_of_text_id, dtype=np.int32)
        for start, document in zip(starts, documents, strict=True):
            if len(document) and not 0 <= document.min() <= document.max() < self.vocab_size:
                raise DataError(
                    f"a token id is outside the vocabulary of {self.vocab_size}",
                    got=f"{document.min()} to {document.max()}",
                    remedy="use the tokenizer the table was made for",
                )
            tokens[start + 1 : start + 1 + len(document)] = document
        place = np.arange(len(tokens), dtype=np.int32)
        place -= np.repeat(starts.astype(np.int32), lengths)
        return tokens, place

    def _check_fitted(self) -> None:
        if not self._orders:
            raise DataError("this n-gram table is empty", remedy="call fit first")


class Unigram(KneserNey):
    """Token frequencies, smoothed the same way: the lowest bar for a language model."""

    def __init__(self, *, vocab_size: int, end_of_text_id: int) -> None:
        super().__init__(order=1, vocab_size=vocab_size, end_of_text_id=end_of_text_id)


class NgramLanguageModel:
    """A fitted table with its tokenizer, as a core.LanguageModel.

    Args:
        name: as it appears in baselines.json ("5-gram").
        tokenizer: turns documents into the ids the table was fitted on.
        table: a fitted KneserNey.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, table: KneserNey) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._table = table

    def score(self, texts: Sequence[str]) -> Score:
        """Nats of `texts`, each a whole document with its end mark."""
        documents = self._tokenizer.encode_batch(texts)
        return Score(
            nats=self._table.score_ids(documents),
            num_bytes=sum(len(text.encode("utf-8")) for text in texts),
            num_tokens=sum(len(document) + 1 for document in documents),
        )

    def score_continuations(
        self, contexts: Sequence[str], continuations: Sequence[str]
    ) -> NDArray[np.float64]:
        """Nats of each continuation given its context, without an end mark; of a whole document
        with its end mark where the context is "".

        Args:
            contexts, continuations: as many of each; no continuation is empty.
        """
        found = np.zeros(len(contexts))
        given = continued_ids(self._tokenizer, contexts, continuations)
        for at, (ids, num_given) in enumerate(given):
            nats = self._table.token_nats(ids)
            found[at] = nats[num_given : len(ids)].sum() if contexts[at] else nats.sum()
        return found


def continued_ids(
    tokenizer: Tokenizer, contexts: Sequence[str], continuations: Sequence[str]
) -> list[tuple[Ids, int]]:
    """Ids of each context with its continuation, and how many of them are the context's.

    Text is encoded in one; where that joins the last token of the context with what follows, the
    two are encoded apart.
    """
    before = tokenizer.encode_batch(contexts)
    joined = tokenizer.encode_batch([a + b for a, b in zip(contexts, continuations, strict=True)])
    found = []
    for context, ids, continuation in zip(before, joined, continuations, strict=True):
        if len(ids) <= len(context) or not np.array_equal(ids[: len(context)], context):
            ids = np.concatenate([context, tokenizer.encode(continuation)])
        found.append((ids, len(context)))
    return found


def smoothed(
    counts: NDArray[Any], prefixes: NDArray[np.int64], num_prefixes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mass of each n-gram and backoff of each prefix, from adjusted counts `a`.

    Args:
        counts: `a` of the n-grams of an order; those of 0 get no mass.
        prefixes: the number of each one's first tokens.
        num_prefixes: n-grams of the order before; those never continued have a backoff of 1.
    """
    discount = np.array([0.0, *modified_discounts(counts)])
    discounts = discount[np.minimum(counts, 3)]
    totals = np.bincount(prefixes, weights=counts, minlength=num_prefixes)
    seen = totals > 0
    totals = np.where(seen, totals, 1.0)
    freed = np.bincount(prefixes, weights=discounts, minlength=num_prefixes)
    backoff = np.where(seen, freed / totals, 1.0)
    mass = np.subtract(counts, discounts, out=discounts)
    mass /= totals[prefixes]
    return mass, backoff


def unique_keys(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Sorted different keys, each key's index there (int32), and one place where each stands.

    `np.unique` does this too, with a stable sort that takes twice as long.
    """
    order = np.argsort(keys)
    ordered = keys[order]
    is_new = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    index = np.empty(len(keys), dtype=np.int32)
    index[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return ordered[is_new], index, order[is_new]


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of each wanted key, -1 where absent."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _parts(documents: Sequence[Ids], num_tokens: int) -> Iterator[list[Ids]]:
    """Whole documents in groups of about `num_tokens`."""
    part: list[Ids] = []
    size = 0
    for document in documents:
        part.append(document)
        size += len(document) + 2
        if size >= num_tokens:
            yield part
            part, size = [], 0
    if part:
        yield part
