"""Progress: honest times, few lines in a log, one line a stage on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from homespun.cli.progress import DrawnProgress, Pace, PlainProgress, open_progress


class Clock:
    """A clock that the test winds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_remaining_time_is_unknown_before_there_is_a_pace() -> None:
    clock = Clock()
    pace = Pace(10, "steps", clock)
    assert pace.remaining() is None
    clock.now += 5
    pace.advance(1)
    assert pace.remaining() is None


def test_remaining_time_follows_the_pace_kept() -> None:
    clock = Clock()
    pace = Pace(10, "steps", clock)
    pace.advance(1)
    for _ in range(3):
        clock.now += 2
        pace.advance(1)
    assert pace.remaining() == pytest.approx(12)  # six steps at two seconds


def test_work_brought_along_by_a_resumed_task_is_not_counted_as_speed() -> None:
    clock = Clock()
    pace = Pace(1000, "steps", clock)
    pace.advance(500)
    clock.now += 10
    pace.advance(1)
    assert pace.remaining() == pytest.approx(4990)


def test_remaining_time_of_an_unknown_length_is_not_invented() -> None:
    clock = Clock()
    pace = Pace(None, "documents", clock)
    pace.advance(1)
    clock.now += 10
    pace.advance(1)
    assert pace.remaining() is None
    assert pace.amount() == "2 documents"


@pytest.mark.parametrize(
    ("total", "unit", "text"),
    [
        (2_000_000, "bytes", "1.5 kB/2.0 MB"),
        (3600, "seconds", "25 min/1 h"),
        (4000, "steps", "1,500/4,000 steps"),
        (1000, "", "1,000/1,000"),
    ],
)
def test_amounts_are_written_in_their_unit(total: float, unit: str, text: str) -> None:
    pace = Pace(total, unit, Clock())
    pace.advance(1500)
    assert pace.amount() == text


def test_a_log_gets_one_line_in_five_seconds_and_one_at_the_end() -> None:
    clock, lines = Clock(), list[str]()
    task = PlainProgress(lines.append, clock).task("pretrain", total=100, unit="steps")
    for _ in range(100):
        clock.now += 0.125
        task.advance(note="loss 2.5")
    assert len(lines) == 2  # 12.5 s
    assert lines[0] == "pretrain: 40/100 steps, loss 2.5, about 7.5 s left"
    task.finish("loss 2.5")
    task.finish("again")
    assert lines[2:] == ["pretrain: done, loss 2.5, took 12 s"]


def test_what_is_said_reaches_the_log_at_once() -> None:
    lines: list[str] = []
    PlainProgress(lines.append, Clock()).say("kept 12 of 40 documents")
    assert lines == ["kept 12 of 40 documents"]


def test_a_pipe_gets_plain_lines() -> None:
    file = io.StringIO()
    with open_progress(Console(file=file, markup=False)) as progress:
        assert isinstance(progress, PlainProgress)
        progress.task("corpus").finish("3 documents")
        progress.say("[draft] \x1b[2J")
    assert file.getvalue().splitlines() == [
        "corpus: done, 3 documents, took 0.0 s",
        "[draft] \\x1b[2J",
    ]


@pytest.mark.parametrize("width", [20, 40, 120])
def test_bars_stay_within_the_terminal(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=20, color_system=None)
    with open_progress(console) as progress:
        assert isinstance(progress, DrawnProgress)
        task = progress.task("pretrain [a/b]", total=4, unit="steps")
        task.advance(note="损失 3.14 " * 30)
        progress.say("kept")
        frame = console.render_lines(progress._bars.get_renderable(), pad=False)
        assert len(frame) == 1
        task.finish("done")
    assert sum(segment.cell_length for segment in frame[0]) <= width
    assert "✓ pretrain [a/b]  done, took 0.0 s" in file.getvalue()
    assert "kept\n" in file.getvalue()


def test_a_share_is_told_in_per_cent() -> None:
    clock = Clock()
    lines: list[str] = []
    task = PlainProgress(lines.append, clock).task("training", total=100.0, unit="%")
    task.advance(12.5)
    clock.now += 6
    task.advance(24.9, "loss 2.1")
    assert lines == ["training: 37%, loss 2.1, about 15 s left"]
