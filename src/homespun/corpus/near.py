"""Paragraphs and documents that say again, in nearly the same words, what stood earlier.

Generated and templated text repeats itself with small changes: a signature, a licence, a note under
every function. Left in, such a paragraph teaches nothing new, and where one copy is held out and
another is trained on, the held-out loss flatters the model. Of a poem, a dialogue or a source file
no single paragraph may be long enough to judge, so documents are compared as a whole too.

Texts are compared by their shingles, the runs of eight words (a Chinese character counts as a
word), the length at which the GPT-3 paper looked for overlaps at its shortest (Brown et al. 2020,
arXiv 2005.14165, appendix C). Curly quotation marks and straight ones, Chinese punctuation and that
of ASCII, wide letters and narrow ones count as the same: one text is published in all of these, and
hardly eight Chinese characters follow each other without a mark.

Memory is bounded: shingles are kept by their hash, and whenever there are too many, every second
one is forgotten by a rule on the hash itself, so that what is kept of one text and what is looked
up of another stay the same sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.corpus.hashset import HashSet64

SHINGLE: Final = 8
_SINGLE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+|[^\w\s]")
# Ways to write one mark; written out they would be as hard to tell apart as they are to read.
_ALIKE: dict[int, str] = {
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u300e\u300f"), '"'),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032"), "'"),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-"),
    **dict.fromkeys(map(ord, "\u3001\uff64"), ","),
    **dict.fromkeys(map(ord, "\u3002\uff61"), "."),
}
_MAX_WORDS = 200_000
# What is longer (a sequence of bases, encoded data) seldom comes again and takes its length.
_LONGEST_WORD = 40
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_ALL = np.uint64(2**64 - 1)


class SeenShares(NamedTuple):
    """How much may have stood earlier in the corpus.

    Attributes:
        paragraph: of a paragraph's shingles; one with more is taken out of its document.
        document: of the shingles of what is left of a document; one with more is dropped.
    """

    paragraph: float = 0.5
    document: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Shingles:
    """The shingles of one document, n of them, and which of them stood earlier.

    Attributes:
        hashes: (n,), of the run that begins at each word.
        starts: (pieces + 1,), the word each piece begins at, and the number of words.
        sampled: (n,), whether it belongs to the memory's present sample.
        known: (n,), whether an earlier document had it.
        first: (n,), where in this document it stands first.
        min_sample: where fewer are sampled, nothing is said to have stood earlier.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    sampled: NDArray[np.bool_]
    known: NDArray[np.bool_]
    first: NDArray[np.int64]
    min_sample: int

    def share_of_piece(self, number: int) -> float:
        """How much of a piece stood in earlier documents or earlier in this one, 0 to 1."""
        begin, end = int(self.starts[number]), int(self.starts[number + 1]) - SHINGLE + 1
        if end - begin < self.min_sample:
            return 0.0
        first, sampled = self.first[begin:end], self.sampled[begin:end]
        if not ((self.known[begin:end] | (first < begin)) & sampled).any():
            return 0.0  # most pieces are new; what follows takes longer
        places = np.unique(first[sampled])  # each shingle once
        if len(places) < self.min_sample:
            return 0.0
        return float((self.known[places] | (places < begin)).mean())

    def share_of_rest(self, kept: Sequence[bool]) -> float:
        """How much of the document without the pieces not kept stood in earlier ones, 0 to 1."""
        wanted = self.sampled
        if not all(kept):
            gone = np.repeat(~np.array(kept, bool), np.diff(self.starts))
            before = np.concatenate([[0], np.cumsum(gone)])
            wanted = wanted & (before[SHINGLE:] == before[: len(wanted)])
        places = np.unique(self.first[wanted])
        return float(self.known[places].mean()) if len(places) >= self.min_sample else 0.0


class ShingleMemory:
    """Remembers a sample of the shingles of all texts it is told.

    Args:
        max_entries: hashes kept at most, 13 to 27 bytes each; beyond that the sample is halved.
        min_sample: a paragraph or document with fewer sampled shingles is not judged.
    """

    def __init__(self, *, max_entries: int = 5_000_000, min_sample: int = 5) -> None:
        self._seen = HashSet64()
        self._max_entries = max_entries
        self._min_sample = min_sample
        self._words: dict[str, int] = {}
        self.one_in = 1  # the sample: of so many shingles one is remembered

    def __len__(self) -> int:
        return len(self._seen)

    def look(self, pieces: Sequence[str]) -> Shingles:
        """The shingles of a document that is made of `pieces`; nothing is remembered yet."""
        parts = [self._hash_words(piece) for piece in pieces]
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        hashes = shingle_hashes(np.array([key for part in parts for key in part], np.uint64))
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        sampled = hashes <= self._largest()
        known = np.zeros(len(hashes), np.bool_)
        known[sampled] = self._seen.contains_many(hashes[sampled])
        return Shingles(hashes, starts, sampled, known, first[inverse], self._min_sample)

    def remember(self, shingles: Shingles) -> None:
        """Remember what `look` gave, before it looks at another document."""
        is_first = shingles.first == np.arange(len(shingles.first))
        new = shingles.hashes[shingles.sampled & ~shingles.known & is_first]
        self._seen.add_new(new[new != 0])
        while len(self._seen) > self._max_entries:
            self.one_in *= 2
            keys = self._seen.keys()
            self._seen = HashSet64(self._max_entries // 2)
            self._seen.add_many(keys[keys <= self._largest()])

    def _largest(self) -> np.uint64:
        # By the upper bits: the table finds its slots by the lower ones.
        return np.uint64(int(_ALL) // self.one_in)

    def _hash_words(self, text: str) -> list[int]:
        # Most words come again and again: a small dictionary saves most of the hashing.
        known = self._words
        if len(known) > _MAX_WORDS:
            known.clear()
        hashes: list[int] = []
        for word in words_of(text):
            key = known.get(word)
            if key is None:
                key = xxhash.xxh3_64_intdigest(word.encode("utf-8", "replace"))
                if len(word) <= _LONGEST_WORD:
                    known[word] = key
            hashes.append(key)
        return hashes


def shingle_hashes(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of all runs of `SHINGLE` words, in order; none where there are fewer words."""
    count = len(words) - SHINGLE + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64)
    mixed = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(SHINGLE):
            mixed = (mixed ^ words[place : place + count]) * _PRIME
            mixed ^= mixed >> _SHIFT
    return mixed


def words_of(text: str) -> list[str]:
    """The words that shingles are made of."""
    if not text.isascii():
        text = text.translate(_ALIKE)
    found: list[str] = _WORD.findall(text.lower())
    return found


def words_of_slowly(text: str) -> list[str]:
    """The same words, a character at a time: for tests and for reading."""
    words: list[str] = []
    open_word = False
    if not text.isascii():
        text = "".join(_ALIKE.get(ord(character), character) for character in text)
    for character in text.lower():
        point = ord(character)
        single = (
            0x3040 <= point <= 0x30FF
            or 0x3400 <= point <= 0x9FFF
            or 0xF900 <= point <= 0xFAFF
            or 0x20000 <= point <= 0x3FFFF
        )
        in_word = not single and (character.isalnum() or character == "_")
        if in_word and open_word:
            words[-1] += character
        elif not character.isspace():
            words.append(character)
        open_word = in_word
    return words


def share_seen_slowly(text: str, earlier: list[str]) -> float:
    """The share of a text's shingles that stood earlier, from plain tuples of words."""

    def shingles(of: str) -> set[tuple[str, ...]]:
        words = words_of_slowly(of)
        return {tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}

    here = shingles(text)
    if not here:
        return 0.0
    seen = set().union(*map(shingles, earlier)) if earlier else set()
    return len(here & seen) / len(here)
