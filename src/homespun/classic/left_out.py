"""n-gram tables that leave out a part of the text, all parts counted at once.

A network that is trained beside an n-gram table must not be shown a table that has counted the
very text it is trained on: it would trust it too much. So the text is cut into blocks, and each
block gets the table of the others. All tables share the n-grams of the whole text; only their
probabilities differ, and those follow from the whole counts less the block's own. Sorting, which
is what costs time, is done once. `KneserNey` fitted to the rest of the text is the slow version.

Long n-grams that occur once are most of a table and say next to nothing, least of all to the
network, which never sees a table that counts them where they occur: they are counted, for the
smoothing of the others, and not kept (as SRILM does from trigrams on, Stolcke 2002). Their
probability goes to the shorter history.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.ngram import smoothed, unique_keys
from homespun.core import ConfigError, DataError, TextBlocks

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
    tokens: Ids,
    *,
    order: int,
    vocab_size: int,
    end_of_text_id: int,
    blocks: TextBlocks | None,
    keep_all_to: int = 16,
) -> list[LeftOutOrder]:
    """Modified Kneser-Ney tables of orders 1 … `order` without each block, and whole.

    Args:
        tokens: a stream of documents with the end-of-text id between them; one before the first
            and after the last is understood where it is missing at the beginning.
        order: longest n-gram, 1 to 16.
        vocab_size: V; ids are 0 … V-1.
        end_of_text_id: histories do not reach beyond it.
        blocks: of `tokens`; an n-gram belongs to the block in which it ends. None leaves out none.
        keep_all_to: n-grams longer than this are kept only if they occur twice.

    Raises:
        DataError: no tokens, or an id outside the vocabulary.
        ConfigError: a number is out of range.
    """
    if not 1 <= order <= 16:
        raise ConfigError("the order of an n-gram model is 1 to 16", got=order, remedy="take 5")
    stream = _stream(tokens, vocab_size, end_of_text_id)
    by_block = _ByBlock(len(tokens), len(stream) - len(tokens), blocks)
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
    prefix_is_kept = np.ones(1, dtype=np.bool_)
    for k, own in enumerate(counted):
        longer = counted[k + 1] if k + 1 < len(counted) else None
        is_kept = np.ones(len(own.keys), dtype=np.bool_)
        if k + 1 > keep_all_to:
            is_kept = np.bincount(own.ids[own.ids >= 0], minlength=len(own.keys)) > 1
        orders.append(_smooth(own, longer, by_block, prefix_is_kept, is_kept, vocab_size))
        prefix_is_kept = is_kept
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
    own: _Counted,
    longer: _Counted | None,
    by_block: _ByBlock,
    prefix_is_kept: NDArray[np.bool_],
    is_kept: NDArray[np.bool_],
    vocab_size: int,
) -> LeftOutOrder:
    num_tables, num_prefixes = by_block.num_blocks + 1, len(prefix_is_kept)
    mass = np.empty((num_tables, np.count_nonzero(is_kept)), dtype=np.float32)
    backoff = np.empty((num_tables, np.count_nonzero(prefix_is_kept)), dtype=np.float32)
    prefixes = own.keys // vocab_size
    is_left = ~is_kept
    # Each longer n-gram that is left adds one different token before this one.
    longer_counts = [None] * num_tables if longer is None else by_block.remaining(longer)
    for row, (counts, left) in enumerate(zip(by_block.remaining(own), longer_counts, strict=True)):
        if longer is not None and longer.suffixes is not None and left is not None:
            num_left = np.bincount(longer.suffixes[left > 0], minlength=len(own.keys))
            counts = np.where(num_left > 0, num_left, counts)
        all_mass, all_backoff = smoothed(counts, prefixes, num_prefixes)
        all_backoff += np.bincount(
            prefixes[is_left], weights=all_mass[is_left], minlength=num_prefixes
        )
        mass[row], backoff[row] = all_mass[is_kept], all_backoff[prefix_is_kept]
    # A prefix occurs at least as often as what goes on from it, so the kept have kept prefixes.
    place = np.cumsum(prefix_is_kept) - 1
    keys = place[prefixes[is_kept]] * vocab_size + own.keys[is_kept] % vocab_size
    return LeftOutOrder(keys, mass, backoff)


class _ByBlock:
    """The places of a stream, block after block."""

    def __init__(self, num_tokens: int, num_marks: int, blocks: TextBlocks | None) -> None:
        self.num_blocks = 0 if blocks is None else blocks.num_blocks
        if blocks is not None:
            block_at = blocks.at(np.arange(num_tokens))
            self._order = np.argsort(block_at, kind="stable") + num_marks
            sizes = np.bincount(block_at, minlength=blocks.num_blocks)
            self._cuts = [0, *np.cumsum(sizes).tolist()]

    def remaining(self, counted: _Counted) -> Iterator[NDArray[np.int64]]:
        """How often each n-gram ends outside of block 0, 1, …, and at last anywhere."""
        size = len(counted.keys)
        whole = np.bincount(counted.ids[counted.ids >= 0], minlength=size)
        if self.num_blocks:
            sorted_ids = counted.ids[self._order]
            for start, stop in itertools.pairwise(self._cuts):
                own = sorted_ids[start:stop]
                yield whole - np.bincount(own[own >= 0], minlength=size)
        yield whole


def _stream(tokens: Ids, vocab_size: int, end: int) -> NDArray[np.int32]:
    """The tokens behind a mark."""
    if not len(tokens):
        raise DataError("there is no text to count", remedy="give at least one document")
    if len(tokens) >= 1 << 31:
        raise DataError("more than two billion tokens", remedy="count a part of the text")
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
    return stream


def _places(stream: NDArray[np.int32], end: int) -> NDArray[np.int32]:
    """How many tokens of its own document, the mark before it included, precede each token."""
    at = np.arange(len(stream), dtype=np.int32)
    last = np.where(stream == end, at, 0).astype(np.int32)
    np.maximum.accumulate(last, out=last)
    place = np.zeros(len(stream), dtype=np.int32)
    place[1:] = at[1:] - last[:-1]
    return place
