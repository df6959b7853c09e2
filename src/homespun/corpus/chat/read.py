"""Reading files of conversations: JSON lines or one JSON array, plain or compressed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zstandard

from homespun.core import Conversation, DataError
from homespun.core.files import os_error
from homespun.corpus.chat.forms import RowError, parse_row
from homespun.corpus.sources.files import zstd_reader


@dataclass(slots=True)
class ReadCounts:
    """What `read_conversations` met; filled while it is iterated.

    Attributes:
        conversations: rows understood.
        forms: how many of them in each of the four forms.
        cut_turns: user turns without an answer, cut off the ends of conversations.
        wrong_rows: rows left out because `max_errors` allowed it.
        first_errors: what was wrong with the first ten of those.
    """

    conversations: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    cut_turns: int = 0
    wrong_rows: int = 0
    first_errors: list[str] = field(default_factory=list)


def read_conversations(
    path: Path, *, max_errors: int = 0, counts: ReadCounts | None = None
) -> Iterator[Conversation]:
    """Yield the conversations of a chat file; the form is found row by row.

    Args:
        path: JSON lines or a JSON array, UTF-8; `.gz` and `.zst` are unpacked on the way.
        max_errors: how many wrong rows are left out before one is an error.
        counts: where to count what was met.

    Raises:
        DataError: the file cannot be read, holds no conversation, or has more than `max_errors`
            wrong rows; the message names file, line and what was expected.
    """
    counts = ReadCounts() if counts is None else counts
    for place, row in _rows(path):
        try:
            if isinstance(row, RowError):
                raise row
            conversation, form, num_cut = parse_row(row)
        except RowError as error:
            message = f"{place} of {path}: {error}"
            if counts.wrong_rows >= max_errors:
                before = f", after {max_errors} others that were left out" if max_errors else ""
                raise DataError(message + before, remedy="mend or delete it") from error
            counts.wrong_rows += 1
            if len(counts.first_errors) < 10:
                counts.first_errors.append(message)
            continue
        counts.conversations += 1
        counts.forms[form] += 1
        counts.cut_turns += num_cut
        yield conversation
    if counts.conversations == 0:
        raise DataError(f"{path} holds no conversation", remedy="give a file with at least one row")


def _rows(path: Path) -> Iterator[tuple[str, object]]:
    """Yield (place, JSON value or RowError) of each row."""
    with _open_text(path) as handle:
        is_first = True
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            if is_first and line.lstrip().startswith("["):
                yield from _array_rows(line + handle.read(), path)
                return
            is_first = False
            yield f"line {number}", _parse_line(line)


def _array_rows(text: str, path: Path) -> Iterator[tuple[str, object]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON array: {error}", remedy="mend it") from error
    for number, value in enumerate(values, start=1):
        yield f"item {number}", value


def _parse_line(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowError(f"not JSON ({error}); expected one JSON object a line")


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    """Open as UTF-8 text, a byte-order mark left out; say every failure as a DataError."""
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder", remedy="give one file of conversations")
        with open(path, "rb") as raw:
            binary: IO[bytes] = raw
            suffix = path.suffix.lower()
            if suffix == ".gz":
                binary = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
            elif suffix == ".zst":
                binary = zstd_reader(raw)
            # Only "\n" ends a line: U+2028 inside a JSON string must not.
            yield io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", remedy="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error.reason}", remedy="save it as UTF-8"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(
            f"{path} is a damaged archive: {error}", remedy="fetch or pack it again"
        ) from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
