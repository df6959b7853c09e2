"""The text of ODT documents, as LibreOffice writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homespun.corpus.sources.formats.package import XmlReader, locked, open_package
from homespun.corpus.sources.formats.prose import Prose
from homespun.corpus.sources.items import SourceFile

_DEEPEST = 6
_MOST_SPACES = 80
# Comments, deleted text, what is made from the rest (contents, indexes), forms, readings above
# characters, how pictures are called and described.
_SKIPPED = frozenset(
    {"annotation", "tracked-changes", "table-of-content", "illustration-index", "table-index"}
    | {"object-index", "user-index", "alphabetical-index", "bibliography", "forms", "ruby-text"}
    | {"hidden-text", "note-citation", "svg:title", "svg:desc", "script", "math", "binary-data"}
)
_SPACE = re.compile(r"[ \t\r\n]+")


def odt_text(file: SourceFile) -> Iterator[str]:
    """The text in pieces: paragraphs, headings, list items, tables, text boxes, foot- and endnotes.

    Comments, headers and footers, tables of contents and deleted text are left out.

    Raises:
        DataError: locked with a password, or no such document.
    """
    with open_package(file) as package:
        manifest = _Manifest()
        if "META-INF/manifest.xml" in package:
            with package.open("META-INF/manifest.xml") as stream:
                manifest.read_all(stream)
        if manifest.is_locked:
            raise locked()
        content = _Content()
        with package.open("content.xml") as stream:
            for _ in content.read(stream):
                yield from content.prose.take()


class _Manifest(XmlReader):
    is_locked = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self.is_locked = self.is_locked or name == "encryption-data"


class _Content(XmlReader):
    skipped = _SKIPPED

    def __init__(self) -> None:
        super().__init__()
        self.prose = Prose()
        self._levels: list[int] = []  # of the paragraphs that are open, 0 for no heading
        self._begins_item = False
        self._after_space = True
        self._titles = {"Title"}  # names of styles, with those made from it

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "style" and attributes.get("parent-style-name") == "Title":
            self._titles.add(attributes.get("name", ""))
        elif name in ("p", "h"):
            if self._levels:
                self.prose.begin_box()
            is_title = attributes.get("style-name") in self._titles
            level = attributes.get("outline-level", "1") if name == "h" else str(int(is_title))
            self._levels.append(min(int(level[:2]), _DEEPEST) if level.isdecimal() else 0)
            self._after_space = True
        elif name == "list-item":
            self._begins_item = True
        elif name == "s":
            count = attributes.get("c", "1")
            self._put(" " * min(int(count[:9]) if count.isdecimal() else 1, _MOST_SPACES))
        elif name == "tab":
            self._put("\t")
        elif name == "line-break":
            self._put("\n")
        elif name == "note":
            self.prose.begin_note()
        elif name == "table-row":
            self.prose.begin_row()
        elif name == "table-cell":
            self.prose.begin_cell()

    def end(self, name: str) -> None:
        if name in ("p", "h"):
            self._end_paragraph(self._levels.pop())
            if self._levels:
                self.prose.end_box()
        elif name == "list-item":
            self._begins_item = False
        elif name == "note":
            self.prose.end_note()
            self._after_space = False
        elif name == "table-row":
            self.prose.end_row()
        elif name == "table-cell":
            self.prose.end_cell()

    def data(self, text: str) -> None:
        if not self._levels:
            return
        text = _SPACE.sub(" ", text)
        self._put(text[1:] if self._after_space and text.startswith(" ") else text)

    def _put(self, text: str) -> None:
        """Spaces that follow each other in the file are one; those written as elements count."""
        if text:
            self._after_space = text.endswith(" ")
            self.prose.add(text)

    def _end_paragraph(self, level: int) -> None:
        if level:
            self.prose.end_paragraph("#" * level + " ")
        elif self._begins_item:
            self.prose.end_paragraph("- ", group="list")
        else:
            self.prose.end_paragraph()
        self._begins_item = False
