"""n-gram tables that leave out a part of the text, all parts counted at once.

A network that is trained beside an n-gram table must not be shown a table that has counted the
very text it is trained on: it would trust it too much. So the text is cut into blocks, and each
block gets the table of the others. All tables share the n-grams of the whole text; only their
probabilities differ, and those follow from the whole counts less the block's own. Sorting, which
is what costs time, is done once. `KneserNey` fitted to the rest of the text is the slow version.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.ngram import smoothed, unique_keys
from homespun.core import ConfigError, DataError

Ids = NDArray[Any]


class LeftOutOrder(NamedTuple):
    """The n-grams of one order, with probabilities for K blocks left out and, last, for none.

    Attributes:
        keys_M: sorted int64, as in `classic.ngram`; at order 1 all V tokens.
        mass_XM: float32, X = K + 1, what the order adds to the probability of its last token.
        backoff_XP: float32, weight of the shorter history, one for each n-gram of the order before.
    """

    keys_M: NDArray[np.int64]
    mass_XM: NDArray[np.float32]
    backoff_XP: NDArray[np.float32]


def count_left_out(
    tokens: Ids, *, order: int, vocab_size: int, end_of_text_id: int, num_blocks: int
) -> list[LeftOutOrder]:
    """Modified Kneser-Ney tables of orders 1 … `order` without each block, and whole.

    Args:
        tokens: a stream of documents with the end-of-text id between them; one before the first
            and after the last is understood where it is missing at the beginning.
        order: longest n-gram, 1 to 16.
        vocab_size: V; ids are 0 … V-1.
        end_of_text_id: histories do not reach beyond it.
        num_blocks: K equal parts of `tokens`; block b is from `ceil(n·b/K)` on. An n-gram belongs
            to the block in which it ends.

    Raises:
        DataError: no tokens, or an id outside the vocabulary.
        ConfigError: a number is out of range.
    """
    if not 1 <= order <= 16:
        raise ConfigError("the order of an n-gram model is 1 to 16", got=order)
    if num_blocks < 0 or num_blocks == 1:
        raise ConfigError("text is left out in two blocks or more, or in none", got=num_blocks)
    stream, cuts = _stream(tokens, vocab_size, end_of_text_id, num_blocks)
    place = _places(stream, end_of_text_id)
    # From the shortest order up: where the k-grams end, and their numbers.
    counted = [_Counted(np.arange(vocab_size, dtype=np.int64), stream.copy(), None)]
    counted[0].ids[0] = -1  # the mark before the first document is predicted by nobody
    before = stream
    for k in range(2, order + 1):
        ends = np.flatnonzero(place >= k - 1)
        keys = before[ends - 1].astype(np.int64)
        keys *= vocab_size
        keys += stream[ends]
        unique, ids_at_ends, examples = unique_keys(keys)
        del keys
        suffixes = counted[-1].ids[ends[examples]]
        ids = np.full(len(stream), -1, dtype=np.int32)
        ids[ends] = ids_at_ends
        counted.append(_Counted(unique, ids, suffixes))
        before = ids
    orders = []
    num_prefixes = 1
    for k, own in enumerate(counted):
        longer = counted[k + 1] if k + 1 < len(counted) else None
        orders.append(_smooth(own, longer, cuts, num_prefixes, vocab_size))
        num_prefixes = len(own.keys)
    return orders


class _Counted(NamedTuple):
    """Attributes:
    keys: of one order. ids: of the n-gram that ends at each token, -1 for none.
    suffixes: the n-gram's number without its first token, in the order before.
    """

    keys: NDArray[np.int64]
    ids: NDArray[np.int32]
    suffixes: NDArray[np.int32] | None


def _smooth(
    own: _Counted, longer: _Counted | None, cuts: list[int], num_prefixes: int, vocab_size: int
) -> LeftOutOrder:
    num_blocks = len(cuts) - 1
    mass = np.empty((num_blocks + 1, len(own.keys)), dtype=np.float32)
    backoff = np.empty((num_blocks + 1, num_prefixes), dtype=np.float32)
    whole = _counts(own, 0, len(own.ids))
    whole_longer = None if longer is None else _counts(longer, 0, len(longer.ids))
    prefixes = own.keys // vocab_size
    spans = [*itertools.pairwise(cuts), (0, 0)]
    for row, (start, stop) in enumerate(spans):
        counts = whole - _counts(own, start, stop) if stop > start else whole
        if longer is not None and whole_longer is not None and longer.suffixes is not None:
            left = whole_longer
            if stop > start:
                left = whole_longer - _counts(longer, start, stop)
            # Each longer n-gram that is left adds one different token before this one.
            num_left = np.bincount(longer.suffixes[left > 0], minlength=len(own.keys))
            counts = np.where(num_left > 0, num_left, counts)
        mass[row], backoff[row] = smoothed(counts, prefixes, num_prefixes)
    return LeftOutOrder(own.keys, mass, backoff)


def _counts(counted: _Counted, start: int, stop: int) -> NDArray[np.int64]:
    """How often each n-gram ends in a part of the stream."""
    ids = counted.ids[start:stop]
    return np.bincount(ids[ids >= 0], minlength=len(counted.keys))


def _stream(
    tokens: Ids, vocab_size: int, end: int, num_blocks: int
) -> tuple[NDArray[np.int32], list[int]]:
    """The tokens behind a mark, and where the blocks begin in that."""
    if not len(tokens):
        raise DataError("there is no text to count", remedy="give at least one document")
    if not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
        raise DataError(
            f"a token id is outside the vocabulary of {vocab_size}",
            got=f"{tokens.min()} to {tokens.max()}",
            remedy="use the tokenizer the table was made for",
        )
    marks = 0 if int(tokens[0]) == end else 1
    stream = np.empty(len(tokens) + marks, dtype=np.int32)
    stream[:marks] = end
    stream[marks:] = tokens
    num = max(1, num_blocks)
    cuts = [-(-len(tokens) * block // num) + marks for block in range(num + 1)]
    return stream, cuts if num_blocks else cuts[:1]


def _places(stream: NDArray[np.int32], end: int) -> NDArray[np.int32]:
    """How many tokens of its own document, the mark before it included, precede each token."""
    at = np.arange(len(stream), dtype=np.int32)
    last = np.where(stream == end, at, 0).astype(np.int32)
    np.maximum.accumulate(last, out=last)
    place = np.zeros(len(stream), dtype=np.int32)
    place[1:] = at[1:] - last[:-1]
    return place
