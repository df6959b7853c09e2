"""Windows of n tokens, counted in chunks of the text that are sorted and merged.

M records, W words of 64 bits each. From every place of the text one window starts; it ends with
its sentence, and is filled up with a token below all others. The k-grams of the text are the
different first k tokens of all windows, so that one sorted array of windows holds all orders, and
those that share a prefix stand together.

A chunk needs memory for its own windows. Its sorted run is merged with the one before once that is
not much larger, so there are few runs, and all of them together are as large as the number of
different windows, twice that while two are merged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.kneser_ney.kernels import Counts, Ids, Kernels, Words

CHUNK_TOKENS = 1 << 20


class Packing(NamedTuple):
    """How a window of tokens lies in 64-bit words: its first token highest, none across two words.

    Attributes:
        order: tokens of a window. bits: of a token. per_word: tokens of a word.
    """

    order: int
    bits: int
    per_word: int

    @classmethod
    def of(cls, order: int, vocab_size: int) -> Packing:
        """With room for one more value than there are ids."""
        bits = vocab_size.bit_length()
        return cls(order, bits, 64 // bits)

    @property
    def num_words(self) -> int:
        """W."""
        return -(-self.order // self.per_word)

    def pack(self, stream: Ids, begin: int, end: int, end_id: int) -> Words:
        """The windows that start at `begin` … `end - 1` of the stream, (end - begin, W)."""
        records = np.zeros((end - begin, self.num_words), dtype=np.uint64)
        going_on = np.ones(end - begin, dtype=np.bool_)
        for place in range(self.order):
            part = stream[begin + place : end + place]
            going_on = going_on[: len(part)]
            word, shift = self._where(place)
            tokens = np.where(going_on, part + 1, 0).astype(np.uint64)
            records[: len(part), word] |= tokens << shift
            going_on = going_on & (part != end_id)
        return records

    def column(self, records_MW: Words, place: int) -> Ids:
        """Token `place` of each window, -1 where the sentence has ended."""
        word, shift = self._where(place)
        mask = np.uint64((1 << self.bits) - 1)
        return ((records_MW[:, word] >> shift) & mask).astype(np.int32) - 1

    def _where(self, place: int) -> tuple[int, np.uint64]:
        word, within = divmod(place, self.per_word)
        return word, np.uint64((self.per_word - 1 - within) * self.bits)


def count_windows(
    stream: NDArray[np.int32],
    packing: Packing,
    *,
    end_id: int,
    kernels: Kernels,
    chunk_tokens: int = CHUNK_TOKENS,
) -> tuple[Words, Counts]:
    """Different windows of the stream, sorted, and how often each occurs.

    Args:
        stream: sentences one after another, each with its `end_id`.
        chunk_tokens: that are sorted at a time; the answer is the same for any.
    """
    runs: list[tuple[Words, Counts]] = []
    for begin in range(0, len(stream), chunk_tokens):
        end = min(begin + chunk_tokens, len(stream))
        runs.append(kernels.count_records(packing.pack(stream, begin, end, end_id)))
        while len(runs) > 1 and len(runs[-2][1]) < 2 * len(runs[-1][1]):
            runs.append(kernels.merge_records(runs.pop(), runs.pop()))
    while len(runs) > 1:
        runs.append(kernels.merge_records(runs.pop(), runs.pop()))
    return runs[0]
