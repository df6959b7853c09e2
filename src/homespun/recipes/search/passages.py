"""Files as passages: pieces of about as many words as one answer needs around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from homespun.classic.extracts import sentences_of
from homespun.core import DataError, Document, Progress, Silent

LONGEST = 800
"""Code points of a passage, about 120 English words; Chinese says more in as many, and is cut at
half of it. Where an encoder reads less than that, a passage is as much as it reads."""


_WHOLE = 1 << 40
"""Code points of a piece of a file: none is cut, so that places are those of the file."""
_AT_ONCE = 512
"""Sentences whose tokens are counted together."""
_MOST_NAMED = 5
"""Files that are told by name where they could not be read."""
_NO_TEXT = frozenset(("binary", "unsupported", "undecodable"))
_CLAUSE_ENDS = frozenset(",;:，；：、")


class Passage(NamedTuple):
    """Attributes:
    source: the file it is from, below the folder that was read.
    start: where in the file's text it begins, in code points.
    text: what it says.
    """

    source: str
    start: int
    text: str


class Measure(Protocol):
    """How much of a text is read.

    Attributes:
        room: tokens of a text at most, marks left out.
    """

    @property
    def room(self) -> int: ...

    def places(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Of each text where its tokens stand, marks left out, from … up to in code points."""
        ...


class _Piece(NamedTuple):
    """Attributes:
    start, stop: where a sentence, or a part of a long one, stands in its text.
    tokens: of it and of what parts it from the one before; 0 where they are not counted.
    """

    start: int
    stop: int
    tokens: int


def passages_of(
    folder: Path,
    *,
    excluded: Path | None = None,
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> list[Passage]:
    """Passages of all files of a folder that can be read as text, in order.

    Args:
        folder: or a file.
        excluded: a folder within in which nothing is read, as the index that is written there.
        measure: no passage has more tokens than it reads; None counts code points alone.
        progress: how far it is, and which files could not be read.

    Raises:
        DataError: there is no such folder or file, or no text in it.
    """
    from homespun.corpus.config import CorpusConfig
    from homespun.corpus.sources.items import ReadLog
    from homespun.corpus.sources.open import open_sources

    # A corpus has no documents as long as that, which is why the copy is not checked.
    config = CorpusConfig().model_copy(update={"max_document_characters": _WHOLE})
    progress, log = progress or Silent(), ReadLog()
    sources = open_sources(folder, config=config, excluded=excluded, progress=progress)
    found, passed_over = [], list[str]()
    for source in sources:
        for item in source.items(log, _WHOLE):
            if isinstance(item, Document):
                found += list(_cut(item, measure))
            elif item.reason in _NO_TEXT:
                passed_over.append(item.doc_id)
    for file in log.unreadable[:_MOST_NAMED]:
        progress.say(f"not read: {file['path']} ({file['why']})")
    if log.num_unreadable > _MOST_NAMED:
        progress.say(f"and {log.num_unreadable - _MOST_NAMED:,} more not read")
    if passed_over:
        count = "a file holds" if len(passed_over) == 1 else f"{len(passed_over):,} files hold"
        progress.say(f"{count} no text that is read here, as {passed_over[0]}")
    if not found:
        raise DataError(f"there is no text in {folder}", remedy="name a folder of text files")
    return found


def _cut(document: Document, measure: Measure | None) -> Iterator[Passage]:
    """Sentences put together until a passage is full; a sentence that is longer is one alone, or
    several where it has more tokens than are read."""
    text = document.text
    han = sum("\u4e00" <= character <= "\u9fff" for character in text[:2000])
    room = LONGEST // 2 if 3 * han > len(text[:2000]) else LONGEST
    most = 0 if measure is None else measure.room
    start, stop, held = -1, -1, 0
    for piece in _sentences(text) if measure is None else _measured(text, measure):
        if start >= 0 and (piece.stop - start > room or held + piece.tokens > most):
            yield Passage(document.doc_id, start, text[start:stop])
            start, held = -1, 0
        if start < 0:
            start = piece.start
        stop, held = piece.stop, held + piece.tokens
    if start >= 0:
        yield Passage(document.doc_id, start, text[start:stop])


def _sentences(text: str) -> Iterator[_Piece]:
    at = 0
    for sentence in sentences_of(text):
        place = text.find(sentence, at)
        if place >= 0:
            at = place + len(sentence)
            yield _Piece(place, at, 0)


def _measured(text: str, measure: Measure) -> Iterator[_Piece]:
    """Sentences with their tokens, none more than are read: of longer ones the parts."""
    whole = list(_sentences(text))
    for first in range(0, len(whole), _AT_ONCE):
        some = whole[first : first + _AT_ONCE]
        # What stands between sentences has tokens too where line breaks have.
        begin = whole[first - 1].stop if first else some[0].start
        begins = [begin, *(piece.stop for piece in some[:-1])]
        found = measure.places([text[b : p.stop] for b, p in zip(begins, some, strict=True)])
        for begin, piece, places in zip(begins, some, found, strict=True):
            if len(places) <= measure.room:
                yield piece._replace(tokens=len(places))
            else:
                moved = [(begin + a, begin + b) for a, b in places]
                yield from _parts(text, piece, moved, measure.room)


def _parts(
    text: str, sentence: _Piece, places: Sequence[tuple[int, int]], room: int
) -> Iterator[_Piece]:
    """A sentence of more than `room` tokens as parts of so many at most."""
    first, start = 0, sentence.start
    while first < len(places):
        last, stop = first + room, sentence.stop
        if last < len(places):
            last = _border(text, places, first, last)
            stop = max(start, places[last][0])
        part = text[start:stop]
        begin = start + len(part) - len(part.lstrip())
        if part.strip():
            yield _Piece(begin, begin + len(part.strip()), last - first)
        first, start = last, stop


def _border(text: str, places: Sequence[tuple[int, int]], first: int, last: int) -> int:
    """Before which token to cut those from `first` on, `last` at most: behind a clause, or between
    words, where there is such a place in the second half."""
    kept, best = last, -1
    for at in range(last, first + (last - first) // 2, -1):
        here = places[at][0]
        if here < places[at - 1][1]:
            continue  # two tokens of one character
        ends_clause = text[max(0, here - 2) : here].rstrip()[-1:] in _CLAUSE_ENDS
        is_within = len(text[here - 1 : here + 1]) == 2 and all(
            letter.isalnum() and not "\u4e00" <= letter <= "\u9fff"
            for letter in text[here - 1 : here + 1]
        )
        worth = 2 if ends_clause else int(not is_within)
        if worth > best:
            kept, best = at, worth
        if best == 2:
            break
    return kept
