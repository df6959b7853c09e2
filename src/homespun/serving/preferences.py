"""People's choices between two answers, as JSON lines that alignment can train on."""

from __future__ import annotations

import errno
import json
import os
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from homespun.core.files import os_error
from homespun.serving.errors import ApiError
from homespun.serving.openai.fields import Listed, check_fields, few

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: one server a file
    fcntl = None

SCHEMA_VERSION = 1
MOST_BYTES = 256 * 1024 * 1024
_READ_BYTES = 1 << 16
_LONGEST_TEXT = 200_000
_MOST_MESSAGES = 256
_MOST_SETTINGS = 32

Text = Annotated[str, Field(max_length=_LONGEST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_floods(cls, given: Any) -> Any:
        return check_fields(given)


class PromptMessage(_Strict):
    """A message of the conversation that both answers continue."""

    role: Literal["system", "user", "assistant"]
    content: Text


class JudgedAnswer(_Strict):
    """One of two answers: what was asked with, and what came."""

    model: Name
    settings: Annotated[dict[Name, int | float], few(_MOST_SETTINGS)]
    text: Text
    finish_reason: Annotated[str, Field(max_length=40)]


class Preference(_Strict):
    """A person's choice, made without knowing which answer is whose.

    Attributes:
        prompt: ends with what the person wrote.
        left, right: as they stood; which stood where was drawn by chance.
        choice: "left" or "right" was better, "tie" both good, "both_bad" neither.
        language: of the page.
    """

    schema_version: Literal[1]
    prompt: Annotated[Listed[PromptMessage], Field(min_length=1, max_length=_MOST_MESSAGES)]
    left: JudgedAnswer
    right: JudgedAnswer
    choice: Literal["left", "right", "tie", "both_bad"]
    language: Annotated[str, Field(max_length=16)] = ""

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> Preference:
        if self.prompt[-1].role != "user":
            raise ValueError("the prompt must end with a message of the user")
        return self


class PreferenceLog:
    """A file that choices are added to, a line each, whole or not at all.

    Args:
        path: created with the first choice or by `check`, for its owner's eyes alone.
        most_bytes: beyond which nothing is added.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises RunError or BudgetError where no choice could be kept, to be told at the start."""
        try:
            os.close(self._opened())
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error

    def append(self, preference: Preference, *, judge: str = "") -> str:
        """Add a choice and return its id; it is on the disk then.

        Raises:
            ApiError: the file is full. BudgetError, RunError: the disk is, or may not be written.
        """
        told = secrets.token_hex(8)
        record = {
            "schema_version": SCHEMA_VERSION,
            "id": told,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "judge": judge,
            **preference.model_dump(exclude={"schema_version"}),
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        line = (text + "\n").encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._write(line)
        except OSError as error:
            raise os_error(error, "saving a choice") from error
        return told

    def _opened(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, line: bytes) -> None:
        handle = self._opened()
        try:
            if fcntl is not None:  # given back when the file is closed
                fcntl.flock(handle, fcntl.LOCK_EX)
            size = _whole_lines(handle)
            if size + len(line) > self._most_bytes:
                told = "the file of choices is full; whoever runs the server can move it away"
                raise ApiError(507, told, code="preferences_full")
            os.ftruncate(handle, size)
            if os.write(handle, line) < len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)


def _whole_lines(handle: int) -> int:
    """Bytes up to the last line's end: what a crash cut off behind it is not kept."""
    size = os.fstat(handle).st_size
    while size:
        start = max(0, size - _READ_BYTES)
        os.lseek(handle, start, os.SEEK_SET)
        place = os.read(handle, size - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        size = start
    return 0
