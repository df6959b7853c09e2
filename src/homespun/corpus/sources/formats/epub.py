"""The chapters of EPUB books.

A chapter is a document, as authors end there what belongs together: a whole book would be cut at
some paragraph anyway. Pages that publishers put into all their books are then documents of their
own, and go as duplicates; and what is damaged takes no more than its page.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote

from homespun.core.errors import DataError
from homespun.core.types import Document
from homespun.corpus.sources.archives import DAMAGED, Tell
from homespun.corpus.sources.files import read_page
from homespun.corpus.sources.formats.encodings import (
    SAMPLE_BYTES,
    UNKNOWN,
    UTF8,
    declared_encoding,
    detect_encoding,
)
from homespun.corpus.sources.formats.markup import DROPPED, html_text, without_open_ends
from homespun.corpus.sources.formats.package import Package, XmlReader, beside, open_package
from homespun.corpus.sources.items import SourceFile

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document")
_NCX = "application/x-dtbncx+xml"
# A book has a table of contents, or one of each kind, and names of chapters fit a line of it.
_MOST_CONTENTS, _LONGEST_TITLE = 8, 1000
# Notes stand in an aside in books, where other pages have there what goes around the text. Readings
# above characters would stand between them.
_PASSED_OVER = (DROPPED - {"aside"}) | {"rt", "rp"}

Chapter = tuple[Document, Iterator[str]]
"""A document without its text, and that in pieces."""


def read_epub(file: SourceFile, tell: Tell) -> Iterator[Chapter]:
    """Chapters in the order in which they are read; each must be read before the next is asked for.

    Its table of contents says which of a book's files begin a chapter; others go on with it. Ids
    are the book's, "/" and the name of the chapter's first file.

    Args:
        tell: told of pages that cannot be read.

    Raises:
        DataError: all of it is locked, or it is no book.
    """
    with open_package(file) as package:
        book = _read_book(package)
        locked = _locked(package)
        if book.spine and all(page in locked for page in book.spine):
            raise DataError("it is locked by its seller", remedy="take a copy without a lock")
        labels = _labels(package, book)
        for pages in _chapters(book.spine, labels):
            titles = {"title": labels.get(pages[0], ""), "book": book.title}
            document = Document(
                f"{file.doc_id}/{pages[0]}",
                "",
                file.source,
                metadata={key: value for key, value in titles.items() if value},
            )
            yield document, _texts(package, file.doc_id, pages, locked, tell)


def _chapters(spine: list[str], labels: dict[str, str]) -> Iterator[list[str]]:
    """Pages by chapters; what stands before the first one is a page each, and so is everything
    where nothing is known of chapters."""
    chapter: list[str] = []
    for page in spine:
        if chapter and (page in labels or chapter[0] not in labels):
            yield chapter
            chapter = []
        chapter.append(page)
    if chapter:
        yield chapter


def _texts(
    package: Package, book_id: str, pages: list[str], locked: frozenset[str], tell: Tell
) -> Iterator[str]:
    space = ""
    for page in pages:
        try:
            if page in locked:
                raise DataError("it is locked by its seller", remedy="take a copy without a lock")
            text, _ = html_text(_page(package, page), dropped=_PASSED_OVER)
        except DataError as error:
            tell(f"{book_id}/{page}", error.what)
        except DAMAGED as error:
            tell(f"{book_id}/{page}", str(error) or "it is damaged")
        else:
            if text.strip():
                yield space + text
                space = "\n\n"


def _page(package: Package, name: str) -> str:
    """A page of a book, decoded: UTF-8 nearly always, but older Chinese ones are GB18030."""
    with package.open(name) as stream:
        data = read_page(stream)
    sample = data[:SAMPLE_BYTES]
    encoding = detect_encoding(sample) if sample else UTF8
    if encoding is None:
        raise DataError("it holds no text", remedy="check that the file is whole")
    encoding = declared_encoding(sample, encoding)
    if encoding is UNKNOWN:
        raise DataError(
            "neither UTF-8, Chinese nor Western", remedy="convert its pages to UTF-8 text files"
        )
    return data.decode(encoding.codec, "replace")


class _Container(XmlReader):
    """Says which part is the list of what the book is made of."""

    part = ""

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rootfile" and not self.part:
            self.part = attributes.get("full-path", "")


class _Book(XmlReader):
    """The list of what the book is made of.

    Attributes:
        title: as it says.
        spine: pages, in the order in which they are read.
        contents: parts that hold a table of contents, the newer kind first.
    """

    def __init__(self, part: str) -> None:
        super().__init__()
        self.title = ""
        self.spine: list[str] = []
        self.contents: list[str] = []
        self._part = part
        self._parts: dict[str, str] = {}
        self._seen: set[str] = set()
        self._in_title = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "item":
            self._item(attributes)
        elif name == "itemref":
            page = self._parts.get(attributes.get("idref", ""), "")
            if page and page not in self._seen:
                self._seen.add(page)
                self.spine.append(page)
        self._in_title = name == "title" and not self.title

    def _item(self, attributes: dict[str, str]) -> None:
        part = beside(self._part, unquote(attributes.get("href", "")))
        kind = attributes.get("media-type", "")
        if "nav" in attributes.get("properties", "").split():
            others = [other for other in self.contents if other != part]
            self.contents = [part, *others][:_MOST_CONTENTS]
        elif kind == _NCX and len(self.contents) < _MOST_CONTENTS:
            self.contents.append(part)
        if kind in _PAGES or part.lower().endswith((".xhtml", ".html", ".htm")):
            self._parts[attributes.get("id", "")] = part

    def end(self, name: str) -> None:
        self._in_title = False

    def data(self, text: str) -> None:
        if self._in_title:
            self.title = (self.title + " ".join(text.split()))[:_LONGEST_TITLE]


def _read_book(package: Package) -> _Book:
    container = _Container()
    if _CONTAINER in package:
        with package.open(_CONTAINER) as stream:
            container.read_all(stream)
    if container.part not in package:
        raise DataError("it has no list of its chapters", remedy="check that the file is whole")
    book = _Book(container.part)
    with package.open(container.part) as stream:
        book.read_all(stream)
    return book


class _Locks(XmlReader):
    def __init__(self) -> None:
        super().__init__()
        self.parts: set[str] = set()

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "CipherReference":
            self.parts.add(beside("", unquote(attributes.get("URI", ""))))


def _locked(package: Package) -> frozenset[str]:
    """Parts that only a seller's program can read. Many books lock their fonts alone."""
    locks = _Locks()
    if _ENCRYPTION in package:
        with package.open(_ENCRYPTION) as stream:
            locks.read_all(stream)
    return frozenset(locks.parts)


class _Contents(HTMLParser):
    """A table of contents, of EPUB 3 (`nav`) or 2 (`navMap`): where it points to, and its words."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.entries: list[tuple[str, str]] = []
        self._inside = False
        self._is_label = False
        self._label = ""
        self._target = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "nav":
            self._inside = "toc" in (given.get("epub:type") or "").split()
        elif tag == "navmap":
            self._inside = True
        elif tag in ("a", "text"):
            self._is_label, self._label, self._target = True, "", given.get("href") or ""
        elif tag == "content" and self._inside:
            self.entries.append((given.get("src") or "", self._label))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("nav", "navmap"):
            self._inside = False
        elif tag in ("a", "text"):
            self._is_label = False
            if self._inside and self._target:
                self.entries.append((self._target, self._label))

    def handle_data(self, data: str) -> None:
        if self._is_label:
            self._label = (self._label + data)[:_LONGEST_TITLE]


def _labels(package: Package, book: _Book) -> dict[str, str]:
    """What the table of contents calls the pages that it names; nothing where it cannot be read."""
    for part in book.contents:
        contents = _Contents()
        try:
            contents.feed(without_open_ends(_page(package, part)))
        except (DataError, *DAMAGED):
            continue
        found: dict[str, str] = {}
        for target, label in contents.entries:
            page = beside(part, unquote(target.partition("#")[0]))
            found.setdefault(page, " ".join(label.split()))
        if any(page in found for page in book.spine):
            return found
    return {}
