"""Working time: what counts against a budget of minutes, across kills and restarts."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WorkClock:
    """Seconds worked on a run, kept in a small file so that a killed process loses at most a beat.

    Inside `ticking` a thread rewrites the file (not fsynced: a power cut may lose more) every
    `beat` seconds, whatever the work is busy with. A new process adds to what is there.

    Args:
        path: `clock.json` of the run directory.
        beat: seconds between writes.
    """

    def __init__(self, path: Path, *, beat: float = 0.5) -> None:
        self._path = path
        self._beat = beat
        self._before = _read_seconds(path)
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._written = 0.0
        self._write(self._before)

    def seconds(self) -> float:
        """Working seconds so far, earlier processes included."""
        return self._before + time.monotonic() - self._start

    def tick(self) -> float:
        """Like `seconds`, and remembers it on disk."""
        now = self.seconds()
        if now - self._written >= self._beat:
            self._write(now)
        return now

    def save(self) -> None:
        self._write(self.seconds())

    @contextmanager
    def ticking(self) -> Iterator[WorkClock]:
        """Remember the time every beat while the block runs, and once more at its end."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(self._beat):
                self.save()

        thread = threading.Thread(target=run, name="work clock", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
            self.save()

    def _write(self, seconds: float) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with self._lock:
            self._written = max(self._written, seconds)  # two threads may come in either order
            # A clock that cannot be written must not stop the work: the stage's own writes will.
            try:
                temporary.write_text(json.dumps({"seconds": round(self._written, 3)}))
                os.replace(temporary, self._path)
            except OSError:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)


def _read_seconds(path: Path) -> float:
    try:
        value = json.loads(path.read_text())["seconds"]
        return float(value) if float(value) >= 0 else 0.0
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
