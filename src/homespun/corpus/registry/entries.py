"""The table of named corpora."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

_TABLE = Path(__file__).with_name("entries.json")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to download.

    Attributes:
        path: where it goes below the corpus's folder in the cache.
        url: where it comes from.
        sha256: of its content.
        size: bytes.
    """

    path: str
    url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class CorpusEntry:
    """A corpus with a name.

    Attributes:
        name: what one types.
        title: what it is, in a few words.
        language: ISO 639-1 code, "code", or several joined by "+".
        licence: as its source states it.
        page: where it is described.
        num_bytes: of the text, for a sense of size.
        reader: "auto" by suffix; "pairs" for tab-separated translations; "wikitext" for articles
            with "= Title =" lines; "embedded" for what is on every machine already.
        local: files below $HOMESPUN_DATA that hold the same texts, archives among them.
        files: what to download; empty where that is not possible.
    """

    name: str
    title: str
    language: str
    licence: str
    page: str
    num_bytes: int
    reader: str = "auto"
    local: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = field(default=())

    @property
    def embedded(self) -> bool:
        """Read from the Python installation: nothing to find or download."""
        return self.reader == "embedded"


def named_corpora() -> list[CorpusEntry]:
    """All entries, in the order of the table."""
    entries: list[CorpusEntry] = []
    for row in json.loads(_TABLE.read_text(encoding="utf-8")):
        files = tuple(
            RemoteFile(path, url, sha256, size) for path, url, sha256, size in row.pop("files", [])
        )
        local = tuple(row.pop("local", []))
        entries.append(CorpusEntry(**row, local=local, files=files))
    return entries


def names() -> list[str]:
    return [entry.name for entry in named_corpora()]


def find_entry(name: str) -> CorpusEntry | None:
    """The entry of that name, or None."""
    return next((entry for entry in named_corpora() if entry.name == name), None)
