"""Working time: counted whatever the work is busy with, and kept when the process is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from homespun.core import RunDirectory, WorkClock

HOLDS_A_RUN = """
import sys, time
from homespun.core import RunDirectory
with RunDirectory.open(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def counted(path: Path) -> float:
    return float(json.loads((path / "clock.json").read_text())["seconds"])


def test_a_killed_process_that_never_looked_at_the_clock_loses_less_than_a_second(
    tmp_path: Path,
) -> None:
    run = RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_RUN, str(run.path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        time.sleep(1.7)
        os.kill(process.pid, signal.SIGKILL)
        worked = time.monotonic() - began
    assert worked - 1.0 < counted(run.path) < worked + 1.0
    before = counted(run.path)
    with run.locked() as clock:  # the kernel has freed the lock
        assert before <= clock.seconds() < before + 1.0


def test_a_new_clock_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    path.write_text('{"seconds": 100.0}')
    clock = WorkClock(path)
    assert 100 <= clock.seconds() < 101
    clock.save()
    assert 100 <= counted(tmp_path) < 101


def test_a_damaged_clock_begins_at_nothing(tmp_path: Path) -> None:
    for text in ("", "[]", '{"seconds": -4}', '{"seconds": "soon"}'):
        (tmp_path / "clock.json").write_text(text)
        assert WorkClock(tmp_path / "clock.json").seconds() < 1


def test_the_thread_writes_every_beat_and_is_gone_afterwards(tmp_path: Path) -> None:
    clock = WorkClock(tmp_path / "clock.json", beat=0.01)
    with clock.ticking():
        first = counted(tmp_path)
        limit = time.monotonic() + 5
        while counted(tmp_path) == first and time.monotonic() < limit:
            time.sleep(0.01)
        assert counted(tmp_path) > first
    last = counted(tmp_path)
    time.sleep(0.05)
    assert counted(tmp_path) == last
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


def test_a_clock_whose_folder_has_gone_does_not_stop_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    clock = WorkClock(folder / "clock.json", beat=0.01)
    with clock.ticking():
        folder.rename(tmp_path / "gone")
        time.sleep(0.05)
        clock.tick()
    assert not folder.exists()
