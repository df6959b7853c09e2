"""Paragraphs, list items, tables and notes of an office document, put together as they come by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from homespun.core.errors import DataError

_DEEPEST = 1000
"""Boxes, cells and notes in one another: what is in them is handed on from each to the next."""


class Block(NamedTuple):
    """A finished paragraph or row.

    Attributes:
        text: never blank.
        mark: what stands before it where it stands by itself: "## ", "- ".
        group: no blank line parts blocks of one group, "list" or "table".
    """

    text: str
    mark: str = ""
    group: str = ""


@dataclass(slots=True)
class _Frame:
    """What holds paragraphs: the document, a cell, a note, a text box.

    Attributes:
        parts: of the paragraph that is being written.
        blocks: that are finished.
    """

    parts: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


class Prose:
    """Makes text of what a reader meets, in its order. Headings and lists are written as in the
    text of HTML pages; cells are parted by tabs, rows by new lines; notes follow the paragraph, or
    the row, that they belong to.
    """

    def __init__(self) -> None:
        self._frames = [_Frame()]
        self._rows: list[list[list[Block]]] = []
        self._notes: list[Block] = []
        self._num_notes = 0
        self._last: Block | None = None

    def add(self, text: str) -> None:
        """More of the paragraph."""
        self._frames[-1].parts.append(text)

    def end_paragraph(self, mark: str = "", *, group: str = "") -> None:
        """The paragraph is at its end; blank ones are none."""
        frame = self._frames[-1]
        text = "".join(frame.parts).strip()
        frame.parts.clear()
        if text:
            frame.blocks.append(Block(text, mark, group))
        self._settle()

    def drop_paragraph(self) -> None:
        """The paragraph is at its end and no text."""
        self._frames[-1].parts.clear()

    def begin_box(self) -> None:
        """What follows, up to `end_box`, is a paragraph in a box inside another one, or a note."""
        self._open()

    def end_box(self) -> None:
        """Paragraphs of the box go before the one it stands in."""
        blocks = self._close()
        self._frames[-1].blocks += blocks

    def begin_cell(self) -> None:
        self._open()

    def end_cell(self) -> None:
        blocks = self._close()
        if self._rows:
            self._rows[-1].append(blocks)
        else:
            self._frames[-1].blocks += blocks

    def begin_row(self) -> None:
        self._rows.append([])

    def end_row(self) -> None:
        """A row of one cell is a frame around paragraphs and leaves them as they are."""
        cells = self._rows.pop()
        blocks = self._frames[-1].blocks
        if len(cells) == 1:
            blocks += cells[0]
        elif text := "\t".join(" ".join(b.text for b in cell) for cell in cells).rstrip():
            blocks.append(Block(text, "", "table"))
        self._settle()

    def begin_note(self) -> None:
        """What follows, up to `end_note`, is said below the page about this place."""
        self._open()

    def end_note(self) -> None:
        self.note(self.take_note())

    def take_note(self) -> str:
        """`end_note` for one that stands elsewhere than where it belongs."""
        return "\n".join(block.text for block in self._close())

    def note(self, text: str) -> None:
        """A note to this place. They are numbered through, whatever the document calls them."""
        if text:
            self._num_notes += 1
            self.add(f"[{self._num_notes}]")
            self._notes.append(Block(text, f"[{self._num_notes}] "))

    def _settle(self) -> None:
        """Notes go behind what they belong to, once that stands by itself."""
        if len(self._frames) == 1 and not self._rows:
            self._frames[0].blocks += self._notes
            self._notes.clear()

    def take(self) -> list[str]:
        """Pieces of the text that are finished since the last call; joined they are the text."""
        frame = self._frames[0]
        if self._rows or len(self._frames) > 1:
            return []
        blocks, frame.blocks = frame.blocks, []
        return [self._parted(block) for block in blocks]

    def _open(self) -> None:
        """Raises DataError where boxes are nested absurdly deep."""
        if len(self._frames) > _DEEPEST:
            raise DataError("its boxes are nested absurdly deep", remedy="save it as text")
        self._frames.append(_Frame())

    def _close(self) -> list[Block]:
        self.end_paragraph()
        return self._frames.pop().blocks

    def _parted(self, block: Block) -> str:
        last, self._last = self._last, block
        if last is None:
            return block.mark + block.text
        is_one = block.group and block.group == last.group
        return ("\n" if is_one else "\n\n") + block.mark + block.text
