"""How much of what a model writes stands word for word in its training text.

The samples (small) are held; the training text (large) streams past in pieces. For a length L the
hashes of all windows of L characters are computed at once, by doubling: the hash of 2k characters
is `hash(left k) * B**k + hash(right k)` modulo 2**64. Where a training window's hash is one of
the samples', the characters themselves are compared, so nothing that is reported rests on a hash;
the chance that a collision hides a copy is below 1e-8 for 100 MB of text.

A passage counts as copied from a width of 50 on, in which a Chinese character counts as two: 25 of
them say about as much as 50 letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_COPY = 50  # width: `widths`
_BASE = 0x9E3779B97F4A7C15  # odd, from the golden ratio: spreads code points over 64 bits
_PIECE = 1 << 20
_BITMAP_BITS = 22

Codes = NDArray[np.uint32]


class CopyFinder:
    """Finds what `samples` copy from the texts it is fed.

    A copy is a run of characters of one sample that stands exactly so in one training document.

    Args:
        samples: generated texts, without their prompts.
        min_copy: width from which a run counts for the share.
    """

    def __init__(self, samples: Sequence[str], *, min_copy: int = MIN_COPY) -> None:
        self._samples = list(samples)
        self._min_copy = min_copy
        self._codes, self._ends = _join(self._samples)
        self._longest = 0
        self._longest_at = 0
        self._copied = np.zeros(len(self._codes) + 1, dtype=np.int64)
        lengths = _lengths_of_width(self._codes, self._ends, min_copy)
        self._long_windows = [
            _Windows(self._codes, self._ends, int(length), only=lengths == length)
            for length in np.unique(lengths[lengths > 0])
        ]

    @property
    def num_characters(self) -> int:
        return sum(map(len, self._samples))

    def feed(self, texts: Iterable[str]) -> None:
        """Look for copies in further training documents."""
        overlap = max(map(len, self._samples), default=0)
        if not overlap:
            return
        for codes, ends in _pieces(texts, overlap):
            for windows in self._long_windows:
                at, places = windows.find(codes, ends)
                lengths = self._common(at, places, codes, ends)
                copied = at[lengths >= windows.length]
                np.add.at(self._copied, copied, 1)
                np.add.at(self._copied, copied + windows.length, -1)
                if len(lengths):
                    self._note(int(at[lengths.argmax()]), int(lengths.max()))
            while self._longest < overlap:
                windows = _Windows(self._codes, self._ends, self._longest + 1)
                at, places = windows.find(codes, ends)
                lengths = self._common(at, places, codes, ends)
                if not len(lengths) or lengths.max() <= self._longest:
                    break
                self._note(int(at[lengths.argmax()]), int(lengths.max()))

    def copied_characters(self) -> list[int]:
        """Of each sample, how many of its characters stand in runs that count."""
        is_copied = np.cumsum(self._copied[:-1]) > 0
        ends = np.cumsum([len(sample) for sample in self._samples])
        return [int(part.sum()) for part in np.split(is_copied, ends[:-1])] if len(ends) else []

    def result(self) -> dict[str, Any]:
        """The "memorised" entry of eval.json."""
        copied = int((np.cumsum(self._copied[:-1]) > 0).sum())
        run = self._codes[self._longest_at : self._longest_at + self._longest]
        return {
            "longest_copied_characters": self._longest,
            "longest_copied_text": _text(run),
            "share_copied_50": copied / max(1, self.num_characters),
            "num_characters": self.num_characters,
        }

    def _note(self, at: int, length: int) -> None:
        if length > self._longest:
            self._longest, self._longest_at = length, at

    def _common(
        self,
        at: NDArray[np.int64],
        places: NDArray[np.int64],
        codes: Codes,
        ends: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Length of the common run from each pair of places on."""
        room = np.minimum(self._ends[at] - at, ends[places] - places)
        lengths = np.zeros(len(at), dtype=np.int64)
        alive = np.flatnonzero(room > 0)
        while len(alive):
            same = self._codes[at[alive] + lengths[alive]] == codes[places[alive] + lengths[alive]]
            alive = alive[same]
            lengths[alive] += 1
            alive = alive[lengths[alive] < room[alive]]
        return lengths


def find_copies(
    samples: Sequence[str], training_texts: Iterable[str], *, min_copy: int = MIN_COPY
) -> dict[str, Any]:
    """What `samples` copy from `training_texts`: the "memorised" entry of eval.json.

    `longest_copied_characters` and `longest_copied_text`: the longest run of a sample that stands
    in a training document, in characters. `share_copied_50`: share of the samples' characters in
    runs of a width of at least `min_copy` that do.
    """
    finder = CopyFinder(samples, min_copy=min_copy)
    finder.feed(training_texts)
    return finder.result()


def find_copies_obvious(
    samples: Sequence[str], training_texts: Sequence[str], *, min_copy: int = MIN_COPY
) -> dict[str, Any]:
    """The same with nothing but `in`: the slow version that tests compare with."""
    longest = ""
    copied = 0
    for sample in samples:
        marks = [False] * len(sample)
        for start in range(len(sample)):
            counted = False
            for stop in range(start + 1, len(sample) + 1):
                run = sample[start:stop]
                if not any(run in text for text in training_texts):
                    break
                if len(run) > len(longest):
                    longest = run
                # Of each start the shortest run that is wide enough.
                if not counted and widths(_codes(run)).sum() >= min_copy:
                    marks[start:stop] = [True] * len(run)
                    counted = True
        copied += sum(marks)
    num_characters = sum(map(len, samples))
    return {
        "longest_copied_characters": len(longest),
        "longest_copied_text": longest,
        "share_copied_50": copied / max(1, num_characters),
        "num_characters": num_characters,
    }


def widths(codes: Codes) -> NDArray[np.int64]:
    """2 for characters of double width (Chinese ones and their punctuation), 1 for others."""
    different, places = np.unique(codes, return_inverse=True)
    wide = [unicodedata.east_asian_width(chr(code)) in "WF" for code in different.tolist()]
    return 1 + np.array(wide, dtype=np.int64)[places]


def _lengths_of_width(codes: Codes, ends: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Characters from each place on until `width` is reached; 0 where the text ends before."""
    total = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(widths(codes))])
    stops = np.searchsorted(total, total[:-1] + width)
    return np.where(stops <= ends, stops - np.arange(len(codes)), 0)


class _Windows:
    """The windows of one length in the samples, those that begin at `only`, to be looked for."""

    def __init__(
        self,
        codes: Codes,
        ends: NDArray[np.int64],
        length: int,
        *,
        only: NDArray[np.bool_] | None = None,
    ) -> None:
        self.length = length
        hashes = _window_hashes(codes, length)
        starts = np.arange(len(hashes))
        inside = starts + length <= ends[: len(hashes)]
        if only is not None:
            inside &= only[: len(hashes)]
        self._starts = starts[inside]
        # Windows that stand in the samples more than once share a number.
        self._hashes, self._numbers = np.unique(hashes[inside], return_inverse=True)
        self._bitmap = np.zeros(1 << _BITMAP_BITS, dtype=np.bool_)
        self._bitmap[self._hashes >> np.uint64(64 - _BITMAP_BITS)] = True

    def find(
        self, codes: Codes, ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs (place in the samples, place in `codes`) of equal windows, one a sample place."""
        nothing = np.zeros(0, dtype=np.int64)
        hashes = _window_hashes(codes, self.length)
        if not len(hashes) or not len(self._hashes):
            return nothing, nothing
        maybe = np.flatnonzero(self._bitmap[hashes >> np.uint64(64 - _BITMAP_BITS)])
        maybe = maybe[maybe + self.length <= ends[maybe]]
        wanted = np.minimum(np.searchsorted(self._hashes, hashes[maybe]), len(self._hashes) - 1)
        hit = self._hashes[wanted] == hashes[maybe]
        which, first = np.unique(wanted[hit], return_index=True)
        place = np.full(len(self._hashes), -1, dtype=np.int64)
        place[which] = maybe[hit][first]
        places = place[self._numbers]
        return self._starts[places >= 0], places[places >= 0]


def _window_hashes(codes: Codes, length: int) -> NDArray[np.uint64]:
    """Hash of every window of `length` codes, by binary doubling; empty if there is none."""
    if len(codes) < length:
        return np.zeros(0, dtype=np.uint64)
    power = codes.astype(np.uint64) * np.uint64(_BASE) + np.uint64(1)  # windows of `size`
    size, factor = 1, _BASE
    result: NDArray[np.uint64] | None = None
    done = 0
    while True:
        if length & size:
            if result is None:
                result = power
            else:
                keep = len(codes) - (done + size) + 1
                left = result[:keep] * np.uint64(factor)
                result = left + power[done : done + keep]
            done += size
        if done == length:
            return result if result is not None else power
        power = power[:-size] * np.uint64(factor) + power[size:]
        size, factor = 2 * size, factor * factor % (1 << 64)


def _join(texts: Sequence[str]) -> tuple[Codes, NDArray[np.int64]]:
    """Code points of all texts, and for each the end of its own text."""
    parts = [_codes(text) for text in texts]
    codes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint32)
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return codes, np.repeat(np.cumsum(lengths), lengths)


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(codes: Codes) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _pieces(texts: Iterable[str], overlap: int) -> Iterator[tuple[Codes, NDArray[np.int64]]]:
    """Training text in arrays of about a million characters.

    Small documents are joined (their ends kept apart); a large one is cut into pieces that
    overlap by the longest sample, so that no copy is cut.
    """
    waiting: list[str] = []
    size = 0
    for text in texts:
        if len(text) > _PIECE:
            # A sample may be longer than the text: then there is one piece all the same.
            for start in range(0, max(1, len(text) - overlap), _PIECE):
                yield _join([text[start : start + _PIECE + overlap]])
            continue
        waiting.append(text)
        size += len(text)
        if size >= _PIECE:
            yield _join(waiting)
            waiting, size = [], 0
    if waiting:
        yield _join(waiting)
