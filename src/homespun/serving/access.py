"""A line for each answer, for whoever runs the server: what was asked, by which key, how it ended.

No addresses, no texts, no keys. What is refused at the door, when the queue is full, is counted in
/metrics alone: writing it down would take from those who are answered.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from homespun.core.files import os_error


class Answered(NamedTuple):
    """Attributes:
    method, path: of the request, printable.
    status: of the answer; 0 where the client left before there was one.
    seconds: until the answer was written.
    caller: name of the key; "" where none was needed, or none was right.
    """

    method: str
    path: str
    status: int
    seconds: float
    caller: str


class AccessLog:
    """Appends to a file, line by line, so that it may be moved or emptied while the server runs.

    Args:
        path: JSON lines; made where it is missing.

    Raises:
        RunError, BudgetError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):
                pass
        except OSError as error:
            raise os_error(error, f"writing {path}") from error

    def __call__(self, answered: Answered) -> None:
        """Write one line. Where that cannot be done the server goes on, and says so once."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = {"time": now, **answered._asdict(), "seconds": round(answered.seconds, 4)}
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        try:
            # Opened for every line: another program may have moved the file away.
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logging.getLogger("homespun.serving").error("the log cannot be written: %s", error)
            self._failed = True
