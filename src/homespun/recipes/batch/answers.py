"""The file of answers: rows are added as they come, and at the end put into the prompts' order.

Beside it lies `OUT.made-by.json`: which model, settings and prompts they are of. So a process that
was killed is gone on from with the same, and answers of different models never get into one file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from homespun.core import RunError
from homespun.core.files import atomic_path, os_error, read_json, write_json
from homespun.recipes.batch.lines import LineId

FORMAT = 1


class Answers:
    """Rows of answers by id.

    Args:
        path: of the file.
        file: it, open.
        done: ids that have a row.
        errors: of those that have one, what it says.
        key: what a row calls its id.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        done: set[LineId],
        errors: dict[LineId, str],
        *,
        key: str = "id",
    ) -> None:
        self.done = done
        self.errors = errors
        self._path = path
        self._file = file
        self._key = key

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; it is the operating system's from then on."""
        text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        self._file.write(text.encode("utf-8", "backslashreplace"))
        self._file.flush()
        self.done.add(row[self._key])
        if "error" in row:
            self.errors[row[self._key]] = str(row["error"])

    def sort(self, ids: Sequence[LineId]) -> None:
        """Put the rows into the order of `ids`, in one go."""
        places = {row_id: at for at, row_id in enumerate(ids)}
        self._file.seek(0)
        rows = list(self._file)
        order = [places.get(json.loads(row)[self._key], len(ids)) for row in rows]
        if order == sorted(order):
            return
        with atomic_path(self._path) as temporary, open(temporary, "wb") as out:
            out.writelines(row for _, row in sorted(zip(order, rows, strict=True)))


@contextmanager
def open_answers(
    path: Path, made_by: dict[str, Any], source: Path, *, key: str = "id"
) -> Iterator[Answers]:
    """The answers there are so far; nobody else may write them meanwhile.

    Args:
        path: of the file.
        made_by: what decides them, in JSON's types.
        source: the prompts. Lines may have been added since; others must be as they were.
        key: what a row calls its id.

    Raises:
        RunError: another process writes them, they are of another model, of other settings or
            prompts, or are damaged.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise os_error(error, f"writing {path}") from error
    with open(handle, "r+b") as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(
                f"another process is writing {path}", remedy="wait for it, or name another file"
            ) from error
        _check_made_by(path, made_by, source, is_new=os.fstat(handle).st_size == 0)
        done, errors = _rows(file, path, key)
        yield Answers(path, file, done, errors, key=key)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.made-by.json")


def _check_made_by(path: Path, made_by: dict[str, Any], source: Path, *, is_new: bool) -> None:
    beside = _beside(path)
    whole = {"format": FORMAT, **made_by, "input": _digest(source, None)}
    if not is_new:
        if not beside.is_file():
            raise RunError(
                f"{path} exists and is not ours to go on with", remedy="name another file"
            )
        before = read_json(beside)
        read = before.pop("input", {}) if isinstance(before, dict) else {}
        changed = sorted(
            name for name in {*before, *whole} - {"input"} if before.get(name) != whole.get(name)
        )
        if read != _digest(source, read.get("bytes", 0)):
            changed.append("input")
        if changed:
            raise RunError(
                f"{path} was begun otherwise: {', '.join(changed)}",
                remedy="ask as before to go on with it, or name another file",
            )
    write_json(beside, whole)


def _digest(path: Path, num_bytes: int | None) -> dict[str, Any]:
    """Of the first bytes of a file, or all of them."""
    digest, left = hashlib.sha256(), path.stat().st_size if num_bytes is None else num_bytes
    total = left
    with open(path, "rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return {"bytes": total, "sha256": digest.hexdigest()}


def _rows(file: BinaryIO, path: Path, key: str) -> tuple[set[LineId], dict[LineId, str]]:
    """Ids and errors of the rows there are. What a crash cut off is taken away."""
    done: set[LineId] = set()
    errors: dict[LineId, str] = {}
    whole = 0
    for number, raw in enumerate(file, 1):
        if not raw.endswith(b"\n"):
            break
        try:
            row = json.loads(raw)
            done.add(row[key])
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"line {number} of {path} is no answer", remedy="mend it, or name another file"
            ) from error
        if "error" in row:
            errors[row[key]] = str(row["error"])
        whole += len(raw)
    file.seek(whole)
    file.truncate()
    return done, errors
