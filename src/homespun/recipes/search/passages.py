"""Files as passages: pieces of about as many words as one answer needs around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from homespun.classic.extracts import sentences_of
from homespun.core import DataError, Document, Progress, Silent

LONGEST = 800
"""Code points of a passage, about 120 English words; Chinese says more in as many, and is cut at
half of it."""


_WHOLE = 1 << 40
"""Code points of a piece of a file: none is cut, so that places are those of the file."""


class Passage(NamedTuple):
    """Attributes:
    source: the file it is from, below the folder that was read.
    start: where in the file's text it begins, in code points.
    text: what it says.
    """

    source: str
    start: int
    text: str


def passages_of(
    folder: Path, *, excluded: Path | None = None, progress: Progress | None = None
) -> list[Passage]:
    """Passages of all files of a folder that can be read as text, in order.

    Args:
        folder: or a file.
        excluded: a folder within in which nothing is read, as the index that is written there.
        progress: how far it is.

    Raises:
        DataError: there is no such folder or file, or no text in it.
    """
    from homespun.corpus.config import CorpusConfig
    from homespun.corpus.sources.items import ReadLog
    from homespun.corpus.sources.open import open_sources

    # A corpus has no documents as long as that, which is why the copy is not checked.
    config = CorpusConfig().model_copy(update={"max_document_characters": _WHOLE})
    sources = open_sources(folder, config=config, excluded=excluded, progress=progress or Silent())
    found = []
    for source in sources:
        for item in source.items(ReadLog(), _WHOLE):
            if isinstance(item, Document):
                found += list(_cut(item))
    if not found:
        raise DataError(f"there is no text in {folder}", remedy="name a folder of text files")
    return found


def _cut(document: Document) -> Iterator[Passage]:
    """Sentences put together until a passage is full; a sentence that is longer is one alone."""
    text = document.text
    han = sum("\u4e00" <= character <= "\u9fff" for character in text[:2000])
    room = LONGEST // 2 if 3 * han > len(text[:2000]) else LONGEST
    start, stop, at = -1, -1, 0
    for sentence in sentences_of(text):
        place = text.find(sentence, at)
        if place < 0:
            continue
        at = place + len(sentence)
        if start >= 0 and at - start > room:
            yield Passage(document.doc_id, start, text[start:stop])
            start = -1
        if start < 0:
            start = place
        stop = at
    if start >= 0:
        yield Passage(document.doc_id, start, text[start:stop])
