"""core's Progress, drawn: bars on a terminal, a few plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homespun.cli.terminal import bytes_text, count_text, err, seconds_text, visible
from homespun.cli.together import is_leader

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from homespun.core.protocols import Progress, Task

SECONDS_BETWEEN_LINES = 5.0
_TRUST_AFTER = 1.0  # seconds of work before a remaining time is worth saying


@contextmanager
def open_progress(console: Console | None = None) -> Iterator[Progress]:
    """A Progress on stderr that suits where stderr goes; silent where another process leads."""
    from homespun.core import Silent

    if not is_leader():
        yield Silent()
        return
    console = console or err()
    if console.is_terminal and not console.is_dumb_terminal:
        with _open_bars(console) as bars:
            yield DrawnProgress(console, bars)
    else:
        yield PlainProgress(lambda line: console.print(visible(line), soft_wrap=True))


class Pace:
    """How much of a task is done, and how long the rest will take at the pace kept so far.

    The pace counts from the end of the first advance: what a resumed task brings along at once is
    nobody's speed, and the first step of training is the slowest.
    """

    def __init__(
        self, total: float | None, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.unit = unit
        self.done = 0.0
        self._clock = clock
        self._start = clock()
        self._base: tuple[float, float] | None = None

    def advance(self, amount: float) -> None:
        self.done += amount
        if self._base is None:
            self._base = (self._clock(), self.done)

    def seconds(self) -> float:
        return self._clock() - self._start

    def remaining(self) -> float | None:
        """Seconds to go, or None while nobody can know."""
        if self.total is None or self._base is None:
            return None
        elapsed = self._clock() - self._base[0]
        gained = self.done - self._base[1]
        if elapsed < _TRUST_AFTER or gained <= 0:
            return None
        return max(0.0, self.total - self.done) * elapsed / gained

    def amount(self) -> str:
        """How far: "120/400 steps", "3.2 MB", "7,512 documents", "37%"."""
        if self.unit == "%":
            return f"{min(self.done, self.total or 100.0):.0f}%"
        write = {"bytes": bytes_text, "seconds": seconds_text}.get(self.unit, count_text)
        unit = "" if self.unit in ("bytes", "seconds") or not self.unit else f" {self.unit}"
        if self.total is None:
            return f"{write(self.done)}{unit}" if self.done else ""
        return f"{write(min(self.done, self.total))}/{write(self.total)}{unit}"

    def left(self) -> str:
        remaining = self.remaining()
        return f"about {seconds_text(remaining)} left" if remaining else ""

    def result(self, note: str) -> str:
        """What is worth keeping when the task is over."""
        took = f"took {seconds_text(self.seconds())}"
        return ", ".join(part for part in (note, took) if part)


class PlainProgress:
    """Lines for a log: a task speaks at most every five seconds, and once when it is done.

    Args:
        write: takes one finished line.
        clock: seconds, monotonic.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock

    def task(self, name: str, total: float | None = None, unit: str = "") -> Task:
        return _PlainTask(name, Pace(total, unit, self._clock), self._write, self._clock)

    def say(self, text: str) -> None:
        self._write(text)


class _PlainTask:
    def __init__(
        self, name: str, pace: Pace, write: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._name = name
        self._pace = pace
        self._write = write
        self._clock = clock
        self._spoke = clock()
        self._finished = False

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._pace.advance(amount)
        if self._clock() - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = self._clock()
        parts = (self._pace.amount(), note, self._pace.left())
        self._write(f"{self._name}: " + ", ".join(part for part in parts if part))

    def finish(self, note: str = "") -> None:
        if not self._finished:
            self._finished = True
            self._write(f"{self._name}: done, {self._pace.result(note)}")


class DrawnProgress:
    """One bar a task while it runs; one line that stays when it is done."""

    def __init__(self, console: Console, bars: Bars) -> None:
        self._console = console
        self._bars = bars

    def task(self, name: str, total: float | None = None, unit: str = "") -> Task:
        task_id = self._bars.add_task(visible(name), total=total, detail="")
        return _DrawnTask(self, self._bars, task_id, name, Pace(total, unit))

    def say(self, text: str) -> None:
        self._console.print(visible(text), soft_wrap=True)

    def keep(self, name: str, result: str) -> None:
        from rich.text import Text

        line = Text.assemble(("✓ ", "green"), (f"{visible(name)}  ", "bold"), visible(result))
        self._console.print(line, soft_wrap=True)


class _DrawnTask:
    def __init__(
        self, owner: DrawnProgress, bars: Bars, task_id: TaskID, name: str, pace: Pace
    ) -> None:
        self._owner = owner
        self._bars = bars
        self._id = task_id
        self._name = name
        self._pace = pace
        self._note = ""
        self._finished = False

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._pace.advance(amount)
        self._note = note or self._note
        parts = (self._pace.amount(), self._note, self._pace.left())
        detail = " · ".join(visible(part) for part in parts if part)
        self._bars.update(self._id, completed=self._pace.done, detail=detail)

    def finish(self, note: str = "") -> None:
        if not self._finished:
            self._finished = True
            self._bars.remove_task(self._id)
            self._owner.keep(self._name, self._pace.result(note or self._note))


def _open_bars(console: Console) -> Bars:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8, max_width=40)),
        TextColumn(
            "{task.fields[detail]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        console=console,
        expand=False,
        transient=True,
        refresh_per_second=8,
    )
