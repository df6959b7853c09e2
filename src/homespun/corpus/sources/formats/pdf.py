"""The text of PDF files, by pypdf, an extra: pages, their lines, and lines put together again."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from homespun.core.errors import DataError
from homespun.corpus.clean import width
from homespun.corpus.sources.archives import Tell, budget, spend
from homespun.corpus.sources.files import seekable
from homespun.corpus.sources.items import SourceFile

if TYPE_CHECKING:
    from pypdf import PdfReader

# Objects that were met are kept by the library; this many pages' at a time.
_PAGES_KEPT = 64
_LOOKED_AT_EACH_END = 2
_FEWEST_REPEATS = 3
_LONGEST_HEAD, _LONGEST_ENTRY = 100, 300
_CONTENTS = re.compile(r"(?:\.\s?){6}[.\s]*[\divxlcIVXLC]+\b")
# Of the widest lines but a tenth: a line that is shorter ends a paragraph.
_FULL = 0.8
_NARROWEST = 30
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_HAN = re.compile("[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_BROKEN_WORD = re.compile(r"[^\W\d_][-\u2010]$")
_ITEM = re.compile(r"\s*(?:[-•·◦▪*–]|\d{1,3}[.)]|[(（]\d{1,3}[)）]|[一二三四五六七八九十]+、)\s*")
# Letters that fonts draw as one.
_JOINED_LETTERS = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}


def pdf_text(file: SourceFile, tell: Tell) -> Iterator[str]:
    """The text in pieces, without lines that stand at the top or bottom of several pages.

    Args:
        tell: told of pages that cannot be read.

    Raises:
        DataError: pypdf is not installed; the file is locked, damaged or absurdly much.
    """
    pages = list(_pages(file, tell))
    space = ""
    for paragraph in paragraphs(without_heads(pages)):
        yield space + paragraph
        space = "\n"


def _pages(file: SourceFile, tell: Tell) -> Iterator[list[str]]:
    """The lines of each page."""
    left = budget(file)
    with file.open() as raw, _quiet():
        reader, num_pages = _open(seekable(raw))
        for index in range(num_pages):
            try:
                text = reader.pages[index].extract_text()
            except Exception as error:  # of what is damaged the library may raise anything
                tell(f"{file.doc_id} page {index + 1}", str(error) or type(error).__name__)
                continue
            left = spend(left, len(text))
            yield text.translate(_JOINED_LETTERS).split("\n")
            if index % _PAGES_KEPT == _PAGES_KEPT - 1:
                reader.resolved_objects.clear()


def _open(stream: BinaryIO) -> tuple[PdfReader, int]:
    """The file and how many pages it has."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ModuleNotFoundError as error:
        raise DataError(
            "PDF is read by the package pypdf (`pip install 'homespun[pdf]'`)",
            remedy="install that, or save the file as text",
        ) from error
    try:
        reader = PdfReader(stream)
        # Many have a password for those who want to change them, and none for readers.
        if not reader.is_encrypted or reader.decrypt(""):
            return reader, len(reader.pages)
    except DependencyError:
        pass  # a newer lock, for which the library needs another one
    except Exception as error:
        raise DataError(
            f"it is damaged: {error}", remedy="open it and save it anew, or as text"
        ) from error
    raise DataError("it is locked with a password", remedy="save it without one, or as text")


@contextmanager
def _quiet() -> Iterator[None]:
    """The library logs a line for each thing that is not as it should be."""
    logger = logging.getLogger("pypdf")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def without_heads(pages: list[list[str]]) -> list[str]:
    """All lines but those at the ends of pages that stand so, but for their numbers, at the same
    end of several: running heads and numbers of pages. The first of them may be the title, and
    stays if it has words. Lines of a table of contents (dots up to a number) go too."""
    counts: Counter[tuple[bool, str]] = Counter()
    ends = [_ends(lines) for lines in pages]
    for found in ends:
        counts.update(set(found.values()))
    told: set[tuple[bool, str]] = set()
    kept: list[str] = []
    for lines, found in zip(pages, ends, strict=True):
        for number, line in enumerate(lines):
            end = found.get(number)
            if end is not None and counts[end] >= _FEWEST_REPEATS:
                is_new = end not in told and any(map(str.isalpha, end[1]))
                told.add(end)
                if not is_new:
                    continue
            if len(line) > _LONGEST_ENTRY or not _CONTENTS.search(line):
                kept.append(line)
    return kept


def _ends(lines: list[str]) -> dict[int, tuple[bool, str]]:
    """By their numbers, the lines at the top and bottom of a page as they are compared."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    top, bottom = filled[:_LOOKED_AT_EACH_END], filled[_LOOKED_AT_EACH_END:][-_LOOKED_AT_EACH_END:]
    return {
        number: (is_top, _DIGITS.sub("#", " ".join(lines[number].split()).casefold()))
        for is_top, numbers in ((True, top), (False, bottom))
        for number in numbers
        if len(lines[number]) <= _LONGEST_HEAD
    }


def paragraphs(lines: list[str]) -> Iterator[str]:
    """Paragraphs of lines that were broken at the edge of a page: one goes on while lines are about
    as wide as most are. Words divided by a hyphen are made whole."""
    widths = sorted(width(line.strip()) for line in lines if line.strip())
    usual = widths[len(widths) * 9 // 10] if widths else 0
    is_prose = usual >= _NARROWEST
    parts: list[str] = []
    is_open = False
    for line in lines:
        text = line.strip() if is_prose else line.rstrip()
        if not text or not is_open or _ITEM.match(text):
            if parts:
                yield "".join(parts)
            parts = [text] if text else []
        else:
            _join(parts, text)
        is_open = is_prose and bool(text) and width(text) >= _FULL * usual
    if parts:
        yield "".join(parts)


def _join(parts: list[str], text: str) -> None:
    last = parts[-1]
    if last.endswith("\u00ad") or (_BROKEN_WORD.search(last) and text[0].islower()):
        parts[-1] = last[:-1]
    elif not (_HAN.match(last[-1]) and _HAN.match(text[0])):
        parts.append(" ")
    parts.append(text)
