"""What readers are given and what they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from homespun.core.types import Document
from homespun.corpus.config import DropReason

MAX_LISTED = 200


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One readable thing: a file, or a member of an archive.

    Attributes:
        doc_id: its path below the source's root, with "/" between folders.
        source: name of what it belongs to, for the data card.
        name: its file name, without ".gz" or the like: decides how it is read.
        size: bytes on disk; those of an archive's members are their unpacked size.
        open: gives a seekable-or-not binary stream of the unpacked content, anew at every call.
        explicit: the user named this very file, so not being able to read it is an error.
    """

    doc_id: str
    source: str
    name: str
    size: int
    open: Callable[[], BinaryIO]
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something met and not read, with the reason that the card counts it under."""

    doc_id: str
    source: str
    reason: DropReason
    num_bytes: int


Item = Document | Rejected


@dataclass(slots=True)
class ReadLog:
    """What happened while reading, for the data card."""

    num_files: int = 0
    encodings: Counter[str] = field(default_factory=Counter)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    num_unreadable: int = 0
    notes: list[str] = field(default_factory=list)

    def add_unreadable(self, path: str, why: str) -> None:
        self.num_unreadable += 1
        if len(self.unreadable) < MAX_LISTED:
            self.unreadable.append({"path": path, "why": " ".join(why.split())[:300]})

    def note(self, text: str) -> None:
        if len(self.notes) < MAX_LISTED:
            self.notes.append(text)
