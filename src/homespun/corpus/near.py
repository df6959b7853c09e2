"""Paragraphs that say again, in nearly the same words, what stood earlier.

Generated and templated text repeats itself with small changes: a signature, a licence, a note under
every function. Left in, such a paragraph teaches nothing new, and where one copy is held out and
another is trained on, the held-out loss flatters the model.

A paragraph is compared by its shingles, the runs of eight words (a Chinese character counts as a
word), the length at which the GPT-3 paper looked for overlaps at its shortest (Brown et al. 2020,
arXiv 2005.14165, appendix C). Memory is bounded: shingles are kept by their hash, and whenever
there are too many, every second one is forgotten by a rule on the hash itself, so that what is kept
of one text and what is looked up of another stay the same sample.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

SHINGLE: Final = 8
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]")
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class ShingleMemory:
    """Remembers a sample of the shingles of all texts it is told.

    Args:
        max_entries: hashes kept at most, about 100 bytes each; beyond that the sample is halved.
        min_sample: a paragraph with fewer sampled shingles is not judged.
    """

    def __init__(self, *, max_entries: int = 1_000_000, min_sample: int = 5) -> None:
        self._seen: set[int] = set()
        self._max_entries = max_entries
        self._min_sample = min_sample
        self._mask = np.uint64(0)
        self._words: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def sample(self, text: str) -> set[int]:
        """The hashes of `text`'s shingles that belong to the present sample."""
        hashes = shingle_hashes(self._hash_words(text))
        return set(hashes[(hashes & self._mask) == 0].tolist())

    def share_seen(self, sample: set[int], also: frozenset[int] | set[int] = frozenset()) -> float:
        """How much of `sample` is remembered or in `also`, 0 to 1; 0 for a sample too small."""
        if len(sample) < self._min_sample:
            return 0.0
        return sum(key in self._seen or key in also for key in sample) / len(sample)

    def remember(self, sample: set[int]) -> None:
        self._seen |= sample
        while len(self._seen) > self._max_entries:
            self._mask = (self._mask << np.uint64(1)) | np.uint64(1)
            mask = int(self._mask)
            self._seen = {key for key in self._seen if key & mask == 0}

    def _hash_words(self, text: str) -> NDArray[np.uint64]:
        # Most words come again and again: a small dictionary saves most of the hashing.
        known = self._words
        if len(known) > 200_000:
            known.clear()
        found = []
        for word in _WORD.findall(text.lower()):
            key = known.get(word)
            if key is None:
                key = known[word] = xxhash.xxh3_64_intdigest(word.encode("utf-8", "replace"))
            found.append(key)
        return np.array(found, dtype=np.uint64)


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


def share_seen_slowly(text: str, earlier: list[str]) -> float:
    """The same share from plain tuples of words, nothing sampled: for tests and for reading."""

    def shingles(of: str) -> set[tuple[str, ...]]:
        words = _WORD.findall(of.lower())
        return {tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}

    here = shingles(text)
    if not here:
        return 0.0
    seen = set().union(*map(shingles, earlier)) if earlier else set()
    return len(here & seen) / len(here)
