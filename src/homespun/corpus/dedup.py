"""Texts and paragraphs seen before, in 13 to 27 bytes each.

Only 64-bit hashes are kept, in an open-addressing table: 1 million paragraphs take 13 to 27 MB
(and half as much again for a moment while the table grows), where a Python set of strings would
take hundreds. Two different texts get the same hash with a chance of n²/2⁶⁵: for a thousand million
paragraphs 3 % that even one is dropped by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.corpus.clean import join_paragraphs, normal_form, paragraphs, width
from homespun.corpus.config import DropReason
from homespun.corpus.near import ShingleMemory


class HashSet64:
    """A set of 64-bit integers in one array; 0 is stored apart, as empty slots hold it.

    Args:
        capacity: entries to make room for at first; the table doubles whenever 60 % are used.
    """

    MAX_LOAD = 0.6

    def __init__(self, capacity: int = 1024) -> None:
        slots = 1 << max(4, int(capacity / self.MAX_LOAD).bit_length())
        self._table: NDArray[np.uint64] = np.zeros(slots, np.uint64)
        self._view = self._table.data
        self._mask = slots - 1
        self._has_zero = False
        self._used = 0

    def __len__(self) -> int:
        return self._used + self._has_zero

    def __contains__(self, key: int) -> bool:
        if key == 0:
            return self._has_zero
        return self._view[self._slot(key)] == key

    def add(self, key: int) -> bool:
        """Add `key`; whether it is new."""
        if key == 0:
            new, self._has_zero = not self._has_zero, True
            return new
        slot = self._slot(key)
        if self._view[slot] == key:
            return False
        self._view[slot] = key
        self._used += 1
        if self._used > self.MAX_LOAD * (self._mask + 1):
            self._grow()
        return True

    def num_bytes(self) -> int:
        return self._table.nbytes

    def _slot(self, key: int) -> int:
        """Where `key` is, or the empty slot where it belongs. Keys are hashes: no mixing needed."""
        view, mask = self._view, self._mask
        slot = key & mask
        while (found := view[slot]) and found != key:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        """Double the table: all keys try their slot, the first of each slot stays, others move."""
        keys = self._table[self._table != 0]
        self._mask = 2 * (self._mask + 1) - 1
        table: NDArray[np.uint64] = np.zeros(self._mask + 1, np.uint64)
        slots = (keys & np.uint64(self._mask)).astype(np.int64)
        while len(keys):
            free = table[slots] == 0
            taken, first = np.unique(slots[free], return_index=True)
            placed = np.flatnonzero(free)[first]
            table[taken] = keys[placed]
            left = np.ones(len(keys), bool)
            left[placed] = False
            keys, slots = keys[left], (slots[left] + 1) & self._mask
        self._table, self._view = table, table.data


class SeenSet(Protocol):
    """What the filter needs of a set; `HashSet64` and the obvious one below both give it."""

    def __contains__(self, key: int, /) -> bool: ...
    def add(self, key: int, /) -> object: ...


def hash_text(text: str) -> int:
    """64-bit hash of the text's normal form."""
    return xxhash.xxh3_64_intdigest(normal_form(text).encode("utf-8", "replace"))


class Verdict(NamedTuple):
    """What became of a text.

    Attributes:
        text: what is left; "" where the text is dropped.
        reason: "" where it is kept.
        removed: paragraphs taken out of it that stood earlier, whether or not the rest is kept.
        near: those taken out because most of their word runs stood earlier, see `near`.
    """

    text: str
    reason: DropReason | Literal[""]
    removed: tuple[str, ...]
    near: tuple[str, ...] = ()


class DuplicateFilter:
    """Drops texts seen before and takes out long paragraphs seen before, in order of arrival.

    Args:
        min_width: paragraphs of fewer characters (Chinese ones count twice) are never taken out.
        code_factor: for source code only paragraphs so many times longer are.
        enough: whether what is left of a text is worth keeping.
        remove_paragraphs: False leaves paragraphs alone.
        documents, seen: sets to fill; shared ones deduplicate across corpora.
        shingles: what nearly repeated paragraphs are found by; None looks for exact ones only.
            Source code is spared: it says nearly the same for good reasons.
        max_seen_share: of a paragraph's shingles that may have stood earlier.
    """

    def __init__(
        self,
        *,
        min_width: int,
        enough: Callable[[str], bool],
        remove_paragraphs: bool = True,
        code_factor: int = 4,
        documents: SeenSet | None = None,
        seen: SeenSet | None = None,
        shingles: ShingleMemory | None = None,
        max_seen_share: float = 0.5,
    ) -> None:
        self._shingles = shingles
        self._max_seen_share = max_seen_share
        self._min_width = min_width
        self._enough = enough
        self._remove = remove_paragraphs
        self._code_factor = code_factor
        self._documents: SeenSet = HashSet64() if documents is None else documents
        self._seen: SeenSet = HashSet64() if seen is None else seen

    def check(self, text: str, *, is_code: bool = False) -> Verdict:
        """Judge one text; only a text that is kept is remembered."""
        whole = hash_text(text)
        if whole in self._documents:
            return Verdict("", "exact-duplicate", ())
        if not self._remove:
            self._documents.add(whole)
            return Verdict(text, "", ())
        limit = self._min_width * (self._code_factor if is_code else 1)
        kept: list[str] = []
        removed: list[str] = []
        near: list[str] = []
        new: set[int] = set()
        samples: set[int] = set()
        shingles = None if is_code else self._shingles
        for piece in paragraphs(text):
            if 2 * len(piece) < limit or width(piece.strip()) < limit:
                kept.append(piece)
                continue
            key = hash_text(piece)
            if key in new or key in self._seen:
                removed.append(piece)
                continue
            if shingles is not None:
                sample = shingles.sample(piece)
                if shingles.share_seen(sample, samples) > self._max_seen_share:
                    near.append(piece)
                    continue
                samples |= sample
            new.add(key)
            kept.append(piece)
        rest = whole
        if removed or near:
            text = join_paragraphs(kept)
            if not self._enough(text):
                reason: DropReason = "repeated-paragraph" if removed else "near-repeated-paragraph"
                return Verdict("", reason, tuple(removed), tuple(near))
            rest = hash_text(text)
            if rest in self._documents:
                return Verdict("", "exact-duplicate", ())
        if shingles is not None:
            shingles.remember(samples)
        self._documents.add(whole)
        self._documents.add(rest)
        for key in new:
            self._seen.add(key)
        return Verdict(text, "", tuple(removed), tuple(near))


def deduplicate_slowly(
    texts: Iterable[str], *, min_width: int, enough: Callable[[str], bool]
) -> Iterator[Verdict]:
    """The same judgement, of exact copies, from plain sets of whole strings: for tests and for
    reading. `near.share_seen_slowly` is its twin for near copies."""
    documents: set[str] = set()
    seen: set[str] = set()
    for text in texts:
        if normal_form(text) in documents:
            yield Verdict("", "exact-duplicate", ())
            continue
        here: set[str] = set()
        kept, removed = [], []
        for piece in paragraphs(text):
            form = normal_form(piece)
            if width(piece.strip()) < min_width or form not in seen | here:
                kept.append(piece)
                if width(piece.strip()) >= min_width:
                    here.add(form)
            else:
                removed.append(piece)
        rest = join_paragraphs(kept) if removed else text
        if removed and not enough(rest):
            yield Verdict("", "repeated-paragraph", tuple(removed))
        elif removed and normal_form(rest) in documents:
            yield Verdict("", "exact-duplicate", ())
        else:
            documents |= {normal_form(text), normal_form(rest)}
            seen |= here
            yield Verdict(rest, "", tuple(removed))
