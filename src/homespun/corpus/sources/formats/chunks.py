"""Cutting a long text into documents at paragraph borders, as it streams by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

END_OF_TEXT = "<|endoftext|>"  # marks the end of a document in many published text files

_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)]*\s*")


def split_text(blocks: Iterable[str], limit: int) -> Iterator[str]:
    """Pieces of at most `limit` characters that together are the text.

    A cut falls after the last blank line in the second half of the allowed span; without one, after
    the last line there; without one, after the last sentence, space, or at the limit. The pieces
    depend on the text alone, not on how it arrives in blocks. A last piece between one and two
    limits long is cut near its middle.

    Args:
        blocks: the text in order, in pieces of any size.
        limit: characters, at least 2.
    """
    rest = ""
    for block in blocks:
        rest += block
        start = 0
        while len(rest) - start >= 2 * limit:
            end = _cut(rest, start + limit // 2, start + limit)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if len(rest) > limit:
        middle = len(rest) // 2
        end = _cut(rest, max(middle // 2, len(rest) - limit), min(limit, middle + middle // 4))
        yield rest[:end]
        rest = rest[end:]
    if rest:
        yield rest


def _cut(text: str, low: int, high: int) -> int:
    """The best border in (low, high]: a position to cut before."""
    for mark in ("\n\n", "\n"):
        found = text.rfind(mark, low, high)
        if found >= 0:
            return found + len(mark)
    ends = [match.end() for match in _SENTENCE_END.finditer(text, low, high)]
    if ends:
        return ends[-1]
    found = text.rfind(" ", low, high)
    return found + 1 if found >= 0 else high


def split_documents(blocks: Iterable[str], limit: int) -> Iterator[str]:
    """`split_text` of every text between `<|endoftext|>` marks."""
    pending = _Marked(iter(blocks))
    while pending.more:
        yield from split_text(pending.until_mark(), limit)


class _Marked:
    """A stream of blocks that stops at every mark and goes on after it."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._rest = ""
        self.more = True

    def until_mark(self) -> Iterator[str]:
        """The text up to the next mark or the end."""
        keep = len(END_OF_TEXT) - 1
        while True:
            found = self._rest.find(END_OF_TEXT)
            if found >= 0:
                yield self._rest[:found]
                self._rest = self._rest[found + len(END_OF_TEXT) :]
                return
            if len(self._rest) > keep:  # a mark may be divided between two blocks
                yield self._rest[:-keep]
                self._rest = self._rest[-keep:]
            block = next(self._blocks, None)
            if block is None:
                yield self._rest
                self._rest, self.more = "", False
                return
            self._rest += block
