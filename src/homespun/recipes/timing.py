"""Where a run's working time went, and how much memory it took, kept across kills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homespun.core import HomespunError, WorkClock
from homespun.core.files import read_json, write_json
from homespun.core.machine import give_back_memory, peak_memory_bytes


class Timings:
    """`timings.json`: `{"stages": {NAME: [start, end|null]}, "peak_memory_bytes": N}`.

    Seconds are working seconds of the run. A stage that is killed keeps its first start, so work
    that was lost is counted where it was spent.
    """

    def __init__(self, path: Path, clock: WorkClock) -> None:
        self._path = path
        self._clock = clock
        try:
            kept: dict[str, Any] = read_json(path)
            self._stages: dict[str, list[float | None]] = dict(kept["stages"])
            self._peak = int(kept["peak_memory_bytes"])
        except (HomespunError, KeyError, TypeError, ValueError):
            self._stages, self._peak = {}, 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as stage `name`; a stage that ended before keeps its times."""
        if name in self._stages and self._stages[name][1] is not None:
            yield
            return
        if name not in self._stages:
            self._stages[name] = [round(self._clock.seconds(), 2), None]
            self._write()
        yield
        # Freed memory is kept (`prepare_process`); in pieces of other sizes it would serve the next
        # stage little, and come on top of what that takes.
        give_back_memory()
        self._stages[name][1] = round(self._clock.seconds(), 2)
        self._write()

    def mark(self, name: str, *, start: float | None = None) -> None:
        """Note a stage that ends now; one that is noted already stays as it is."""
        now = round(self._clock.seconds(), 2)
        if name not in self._stages:
            self._stages[name] = [now if start is None else start, now]
            self._write()

    def _write(self) -> None:
        self._peak = max(self._peak, peak_memory_bytes())
        write_json(
            self._path, {"stages": self._stages, "peak_memory_bytes": self._peak}, sync=False
        )
