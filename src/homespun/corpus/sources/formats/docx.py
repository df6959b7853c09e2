"""The text of DOCX documents, as Word and many other programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from homespun.corpus.sources.formats.package import Package, XmlReader, beside, open_package
from homespun.corpus.sources.formats.prose import Prose
from homespun.corpus.sources.items import SourceFile

_DOCUMENT = "word/document.xml"
_HEADING = re.compile(r"heading ([1-9])")
_LIST_STYLES = ("list bullet", "list number")
_NO_LEVEL = 9  # of `outlineLvl`: body text
_DEEPEST = 6
_MOST_ANCESTORS = 20
# Deleted and moved text, formatting as it was before a change, what older programs are shown in
# place of a drawing that stands there too, codes of fields, readings above characters, formulas.
_SKIPPED = frozenset(
    {"del", "moveFrom", "pPrChange", "rPrChange", "tblPrChange", "trPrChange", "tcPrChange"}
    | {"Fallback", "instrText", "rt", "oMath", "oMathPara"}
)
_NOTES = {"footnote": "footnotes", "endnote": "endnotes"}
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


@dataclass(slots=True)
class _Style:
    """What a paragraph is by its style or by itself; None where that is left to another.

    Attributes:
        level: of a heading, 0 for none.
        is_item: whether it stands in a list.
        is_contents: whether it is a line of a table of contents.
        based_on: id of the style that the rest is left to.
        is_joined: whether it goes on in the next paragraph.
    """

    level: int | None = None
    is_item: bool | None = None
    is_contents: bool = False
    based_on: str = ""
    is_joined: bool = False


def docx_text(file: SourceFile) -> Iterator[str]:
    """The text in pieces: paragraphs, headings, list items, tables, text boxes, foot- and endnotes.

    Comments, headers and footers, tables of contents, and what was deleted or moved away while
    changes were tracked are left out.

    Raises:
        DataError: locked with a password, or no such document.
    """
    with open_package(file) as package:
        main = _targets(package, "").get("officeDocument", _DOCUMENT)
        found = _targets(package, main)
        styles = _Styles()
        if (part := found.get("styles", "")) in package:
            with package.open(part) as stream:
                styles.read_all(stream)
        notes: dict[tuple[str, str], str] = {}
        for kind, name in _NOTES.items():
            if (part := found.get(name, "")) in package:
                with package.open(part) as stream:
                    notes |= _read_notes(stream, kind, styles)
        body = _Body(styles, notes)
        with package.open(main) as stream:
            for _ in body.read(stream):
                yield from body.prose.take()


def _targets(package: Package, part: str) -> dict[str, str]:
    """What `part` (or the document, by "") says stands in other parts, by the kind of it."""
    folder, _, name = part.rpartition("/")
    place = f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"
    relations = _Relations(part)
    if place in package:
        with package.open(place) as stream:
            relations.read_all(stream)
    return relations.targets


class _Relations(XmlReader):
    def __init__(self, part: str) -> None:
        super().__init__()
        self.targets: dict[str, str] = {}
        self._part = part

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        kind = attributes.get("Type", "").rpartition("/")[2]
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            self.targets.setdefault(kind, beside(self._part, attributes.get("Target", "")))


class _Properties(XmlReader):
    """Reads what a style and a paragraph say in the same words."""

    def say(self, style: _Style, name: str, attributes: dict[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "outlineLvl" and value.isdecimal():
            level = int(value[:2])
            style.level = min(level + 1, _DEEPEST) if level < _NO_LEVEL else 0
        elif name == "numId":
            style.is_item = value != "0"


class _Styles(_Properties):
    """Styles by their ids. These differ from language to language; what is built in has its English
    name everywhere."""

    skipped = _SKIPPED

    def __init__(self) -> None:
        super().__init__()
        self._styles: dict[str, _Style] = {}
        self._open = _Style()

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "style":
            self._open = _Style()
            self._styles[attributes.get("styleId", "")] = self._open
        elif name == "basedOn":
            self._open.based_on = attributes.get("val", "")
        elif name == "name":
            self._name(attributes.get("val", "").lower())
        else:
            self.say(self._open, name, attributes)

    def _name(self, name: str) -> None:
        if found := _HEADING.fullmatch(name):
            self._open.level = min(int(found[1]), _DEEPEST)
        elif name == "title":
            self._open.level = 1
        elif name.startswith(_LIST_STYLES):
            self._open.is_item = True
        self._open.is_contents = name.startswith("toc ")

    def resolved(self, own: _Style) -> _Style:
        """`own` with what it leaves open taken from its style and those that is based on."""
        found, style_id = _Style(own.level, own.is_item), own.based_on
        for _ in range(_MOST_ANCESTORS):
            style = self._styles.get(style_id)
            if style is None:
                break
            found.level = style.level if found.level is None else found.level
            found.is_item = style.is_item if found.is_item is None else found.is_item
            found.is_contents = found.is_contents or style.is_contents
            style_id = style.based_on
        return found


class _Body(_Properties):
    """Reads the main part, and notes."""

    skipped = _SKIPPED

    def __init__(self, styles: _Styles, notes: dict[tuple[str, str], str]) -> None:
        super().__init__()
        self.prose = Prose()
        self._styles = styles
        self._notes = notes
        self._paragraphs: list[_Style] = []
        self._in_text = False
        self._in_properties = 0

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        # A paragraph whose end was deleted goes on in the next one.
        is_gone = name.rpartition(":")[2] in ("del", "moveFrom") and not self._depth_skipped
        if is_gone and self._in_properties and self._paragraphs:
            self._paragraphs[-1].is_joined = True
        super()._begin(name, attributes)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "p":
            if self._paragraphs:
                self.prose.begin_box()
            self._paragraphs.append(_Style())
        elif name == "pPr":
            self._in_properties += 1
        elif self._in_properties:
            if name == "pStyle" and self._paragraphs:
                self._paragraphs[-1].based_on = attributes.get("val", "")
            elif self._paragraphs:
                self.say(self._paragraphs[-1], name, attributes)
        elif name == "t":
            self._in_text = True
        elif name in _SIGNS:
            self.prose.add(_SIGNS[name])
        elif name in ("footnoteReference", "endnoteReference"):
            kind = name.removesuffix("Reference")
            self.prose.note(self._notes.get((kind, attributes.get("id", "")), ""))
        elif name == "tr":
            self.prose.begin_row()
        elif name == "tc":
            self.prose.begin_cell()

    def end(self, name: str) -> None:
        if name == "p":
            self._end_paragraph()
            if self._paragraphs:
                self.prose.end_box()
        elif name == "pPr":
            self._in_properties -= 1
        elif name == "t":
            self._in_text = False
        elif name == "tr":
            self.prose.end_row()
        elif name == "tc":
            self.prose.end_cell()

    def data(self, text: str) -> None:
        if self._in_text:
            self.prose.add(text)

    def _end_paragraph(self) -> None:
        own = self._paragraphs.pop()
        if own.is_joined:
            return
        style = self._styles.resolved(own)
        if style.is_contents:
            self.prose.drop_paragraph()
        elif style.level:
            self.prose.end_paragraph("#" * style.level + " ")
        elif style.is_item:
            self.prose.end_paragraph("- ", group="list")
        else:
            self.prose.end_paragraph()


class _NoteTexts(_Body):
    """Reads foot- or endnotes, by their ids."""

    def __init__(self, kind: str, styles: _Styles) -> None:
        super().__init__(styles, {})
        self.texts: dict[tuple[str, str], str] = {}
        self._kind = kind
        self._id = ""

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == self._kind:
            # Those with a type are lines between text and notes.
            is_note = attributes.get("type", "normal") == "normal"
            self._id = attributes.get("id", "") if is_note else ""
            self.prose.begin_note()
        else:
            super().begin(name, attributes)

    def end(self, name: str) -> None:
        if name == self._kind:
            self.texts[self._kind, self._id] = self.prose.take_note()
        else:
            super().end(name)


def _read_notes(stream: BinaryIO, kind: str, styles: _Styles) -> dict[tuple[str, str], str]:
    reader = _NoteTexts(kind, styles)
    reader.read_all(stream)
    reader.texts.pop((kind, ""), None)
    return reader.texts
