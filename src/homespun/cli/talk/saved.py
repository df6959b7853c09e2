"""/save and /load: a conversation as a file, `{"messages": [{"role", "content"}, …]}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.core import DataError, Message, RequestError
from homespun.core.files import read_json, write_json


def save(messages: Sequence[Message], name: str) -> Path:
    """Write a conversation.

    Raises:
        RequestError: no name is given, or another kind of file has it. HomespunError: it cannot be
            written.
    """
    path = _path(name)
    if path.exists():
        load(name)  # one of ours may be replaced, nothing else
    write_json(
        path, {"messages": [{"role": m.role, "content": m.content} for m in messages]}, sync=False
    )
    return path


def load(name: str) -> list[Message]:
    """Read one. Raises DataError where it is none."""
    path = _path(name)
    remedy = "name one that /save wrote"
    if not path.exists():
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
    return Path(name).expanduser()
