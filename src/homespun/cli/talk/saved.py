"""/save and /load: a conversation as a file, `{"messages": [{"role", "content"}, …]}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.core import DataError, Message, RequestError
from homespun.core.files import os_error, read_json, write_json


def save(messages: Sequence[Message], name: str) -> Path:
    """Write a conversation.

    Raises:
        RequestError: no name is given, or one that no file can have. DataError: another kind of
            file has it. RunError, BudgetError: it cannot be written.
    """
    path = _path(name)
    if _exists(path):
        load(name)  # one of ours may be replaced, nothing else
    write_json(
        path, {"messages": [{"role": m.role, "content": m.content} for m in messages]}, sync=False
    )
    return path


def load(name: str) -> list[Message]:
    """Read one. Raises RequestError, DataError or RunError where it is none, or cannot be read."""
    path = _path(name)
    remedy = "name one that /save wrote"
    if not _exists(path):
        raise DataError(f"there is no file {path}", remedy=remedy)
    value = read_json(path, remedy=remedy)
    rows = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(_is_message(row) for row in rows):
        raise DataError(f"{path} is not a saved conversation", remedy=remedy)
    return [Message(row["role"], row["content"]) for row in rows]


def _is_message(row: object) -> bool:
    return (
        isinstance(row, dict)
        and row.get("role") in ("system", "user", "assistant")
        and isinstance(row.get("content"), str)
    )


def _path(name: str) -> Path:
    if not name:
        raise RequestError("which file is not said", remedy="as in /save talk.json")
    if "\0" in name:
        raise RequestError("a file's name has no zero bytes", remedy="as in /save talk.json")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~somebody who is not known here
        raise RequestError(
            f"there is no home folder for {Path(name).parts[0]}", remedy="write the path in full"
        ) from error


def _exists(path: Path) -> bool:
    """Raises RunError where that cannot be told: the name is too long, or its folder is closed to
    us. A conversation must not end by it."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise os_error(error, f"looking for {path}") from error
    return True
