"""Documents on disk: JSON lines, compressed with zstandard, read and written as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zstandard

from homespun.core.errors import DataError
from homespun.core.files import os_error
from homespun.core.types import Document, Split
from homespun.corpus.sources.files import zstd_reader

_LEVEL = 3
_PACKED_AT_ONCE = 1 << 16


class RowWriter:
    """Writes JSON rows to a `.jsonl.zst` file. Use as a context manager; not atomic by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_rows = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "wb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise os_error(error, f"writing {path}") from error
        self._stream = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(self._file)

    def write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        try:
            # A lone surrogate (from "\\ud800" in some JSON) cannot be written as UTF-8.
            self._stream.write(line.encode("utf-8", "replace") + b"\n")
        except OSError as error:
            raise os_error(error, f"writing {self.path}") from error
        self.num_rows += 1

    def close(self) -> None:
        try:
            with self._file:
                self._stream.close()  # type: ignore[no-untyped-call]
        except OSError as error:
            raise os_error(error, f"writing {self.path}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a `.jsonl.zst` file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with open(path, "rb") as file:
            if not path.stat().st_size:  # of no rows it has a few bytes
                raise EOFError("it is cut off at its beginning")
            for line in zstd_reader(file, at_once=_PACKED_AT_ONCE):
                yield json.loads(line)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="build the corpus again") from error
    except (zstandard.ZstdError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged", remedy="build the corpus again") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error


def to_row(document: Document) -> dict[str, Any]:
    return {
        "id": document.doc_id,
        "text": document.text,
        "source": document.source,
        "language": document.language,
        "metadata": dict(document.metadata),
    }


def from_row(row: dict[str, Any]) -> Document:
    return Document(
        doc_id=row["id"],
        text=row["text"],
        source=row["source"],
        language=row["language"],
        metadata=row["metadata"],
    )


def iter_documents(corpus_dir: Path, split: Split) -> Iterator[Document]:
    """Documents of a split of a built corpus, in their order on disk.

    Raises:
        DataError: the corpus is missing, unfinished or damaged.
    """
    if not (corpus_dir / "card.json").is_file():
        raise DataError(
            f"there is no finished corpus in {corpus_dir}", remedy="build the corpus first"
        )
    path = corpus_dir / f"{split}.jsonl.zst"
    for row in read_rows(path):
        try:
            yield from_row(row)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path} holds a row that is no document", remedy="build the corpus again"
            ) from error
