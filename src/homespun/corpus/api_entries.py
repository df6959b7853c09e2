"""The entries of the corpus `python` on disk, so that conversations about them need no parsing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from homespun.core.errors import DataError
from homespun.corpus.documents import RowWriter, read_rows
from homespun.corpus.sources.python_entries import ApiEntry

ENTRIES_NAME = "api_entries.jsonl.zst"
_FIELDS = tuple(field.name for field in fields(ApiEntry))


class EntryWriter(RowWriter):
    """Writes entries in the order they are added."""

    def add(self, entry: ApiEntry) -> None:
        self.write({name: getattr(entry, name) for name in _FIELDS})


def read_api_entries(corpus_dir: Path) -> Iterator[ApiEntry]:
    """The entries that were written while the corpus was built, in its order.

    Raises:
        DataError: there are none, or the file is damaged.
    """
    path = corpus_dir / ENTRIES_NAME
    for row in read_rows(path):
        try:
            row["parameters"] = tuple((n, a, d) for n, a, d in row["parameters"])
            yield ApiEntry(**row)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged", remedy="build the corpus again") from error
