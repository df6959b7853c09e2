"""Tags to spans and back, words to BMES tags and back.

Schemes: `bio` (B- begins, I- goes on), `bioes` (E- ends, S- stands alone); `bmes` is `bioes` with
M for I, `bilou` with L for E and U for S. A tag is "O" or a mark, a hyphen and a label; the marks
of word segmentation have no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError

Scheme = Literal["bio", "bioes", "bmes", "bilou"]
_SAME = {"M": "I", "L": "E", "U": "S"}
"""What BMES and BILOU call a middle, an end and a single."""


class Span(NamedTuple):
    """A stretch of a sequence: positions start to stop - 1, and what they are."""

    start: int
    stop: int
    label: str


def split_tag(tag: str) -> tuple[str, str]:
    """Mark (B, I, E, S or O) and label of a tag of any scheme.

    Raises:
        DataError: it is no tag of these schemes.
    """
    mark, _, label = tag.partition("-")
    mark = _SAME.get(mark, mark)
    if mark not in ("B", "I", "E", "S", "O") or (mark == "O" and label):
        raise DataError(
            "a tag of no known scheme",
            got=tag,
            remedy="use O, or B, I, M, E, S, L or U with -LABEL",
        )
    return mark, label


def tags_to_spans(tags: Sequence[str]) -> list[Span]:
    """The spans of tags in any scheme, in order.

    What does not fit is read as CoNLL's scorer reads it: a span also begins at an I or E that
    follows none of its label, and ends where its label does.

    Raises:
        DataError: a tag is of no known scheme.
    """
    spans: list[Span] = []
    start, label, closed = -1, "", True
    for at, tag in enumerate(tags):
        mark, name = split_tag(tag)
        goes_on = mark in ("I", "E") and not closed and name == label
        if not goes_on:
            if not closed:
                spans.append(Span(start, at, label))
            start, label = at, name
        closed = mark in ("O", "E", "S")
        if mark in ("E", "S"):
            spans.append(Span(start, at + 1, label))
    if not closed:
        spans.append(Span(start, len(tags), label))
    return spans


def spans_to_tags(spans: Sequence[Span], length: int, scheme: Scheme = "bioes") -> list[str]:
    """Tags of a sequence of `length` positions.

    Raises:
        DataError: a span is empty, leaves the sequence, or overlaps another.
    """
    tags = ["O"] * length
    free = 0
    for start, stop, label in sorted(spans):
        if not free <= start < stop <= length:
            raise DataError(
                "a span is empty, outside the sequence, or overlaps another",
                got=f"{start}..{stop} of {length}",
                remedy="tags can say only spans that follow one another",
            )
        free = stop
        for at in range(start, stop):
            tags[at] = _mark(at - start, stop - start, scheme) + (f"-{label}" if label else "")
    return tags


def convert_tags(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same spans in another scheme."""
    return spans_to_tags(tags_to_spans(tags), len(tags), scheme)


def _mark(at: int, length: int, scheme: Scheme) -> str:
    if scheme == "bio":
        return "I" if at else "B"
    single, last = ("U", "L") if scheme == "bilou" else ("S", "E")
    if length == 1:
        return single
    middle = "M" if scheme == "bmes" else "I"
    return "B" if at == 0 else last if at == length - 1 else middle


def allowed_pairs(tags: Sequence[str]) -> tuple[NDArray[np.bool_], ...]:
    """Which tags may follow which, begin and end a sequence, in any scheme.

    The scheme is `bio` where no tag has a mark of an end or a single.

    Returns:
        Three masks of shapes (T, T), (T,) and (T,).
    """
    parts = [split_tag(tag) for tag in tags]
    closes = any(mark in ("E", "S") for mark, _ in parts)

    def may(before: tuple[str, str], after: tuple[str, str]) -> bool:
        is_open = before[0] in ("B", "I")
        goes_on = after[0] in ("I", "E")
        if goes_on:
            return is_open and before[1] == after[1]
        return not (is_open and closes)

    outside = ("O", "")
    follow_TT = np.array([[may(a, b) for b in parts] for a in parts])
    begin_T = np.array([may(outside, part) for part in parts])
    end_T = np.array([may(part, outside) for part in parts])
    return follow_TT, begin_T, end_T


def words_to_bmes(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The characters (code points) of `words`, and B, M, E or S for each."""
    characters = [character for word in words for character in word]
    tags = [_mark(at, len(word), "bmes") for word in words for at in range(len(word))]
    return characters, tags


def bmes_to_words(characters: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The words that `tags` cut `characters` into; a word begins at each B and S, and after E."""
    words, closed = [""], False
    for character, tag in zip(characters, tags, strict=True):
        if words[-1] and (tag in ("B", "S") or closed):
            words.append("")
        words[-1] += character
        closed = tag in ("E", "S")
    return words if words[0] else []


def word_offsets(words: Sequence[str], text: str | None = None) -> list[tuple[int, int]]:
    """Start and stop of each word in code points.

    Args:
        words: in order.
        text: where they stand, with any spaces between; None is the words joined.

    Raises:
        DataError: a word does not follow in the text.
    """
    if text is None:
        return list(pairwise(accumulate(map(len, words), initial=0)))
    offsets, at = [], 0
    for word in words:
        start = text.find(word, at)
        if start < 0 or text[at:start].strip():
            raise DataError(
                "a word does not follow in its text",
                got=word,
                remedy="give the text from which the words were cut, in the same normal form",
            )
        at = start + len(word)
        offsets.append((start, at))
    return offsets


def spans_in_text(
    spans: Sequence[Span], words: Sequence[str], text: str | None = None
) -> list[Span]:
    """Spans over `words` as spans over code points of `text` (None: of the words joined).

    Raises:
        DataError: a word does not follow in the text.
    """
    offsets = word_offsets(words, text)
    return [Span(offsets[s.start][0], offsets[s.stop - 1][1], s.label) for s in spans]
