"""The run directory: what it was asked, who may write, and what to delete to go back."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homespun.core import RunDirectory, RunError, runs
from homespun.core.machine import machine, num_cores, num_threads, peak_memory_bytes

TRIES_A_RUN = """
import sys
from homespun.core import RunDirectory, RunError
try:
    with RunDirectory.open(sys.argv[1]).locked():
        print("locked")
except RunError as error:
    print(error)
"""


def try_lock(run: RunDirectory) -> str:
    """What a second process says when it wants to work on `run`."""
    command = [sys.executable, "-c", TRIES_A_RUN, str(run.path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_second_process_is_told_who_works_on_the_run(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    with run.locked():
        pid = (run.path / "lock").read_text()
        assert f"another process (pid {pid})" in try_lock(run)
    assert try_lock(run) == "locked"


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    run = RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(RunError, match="Function not implemented while locking"), run.locked():
        raise AssertionError("it is not locked")


def test_a_run_that_was_cut_off_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    """A power cut leaves the record under the name it has until it is whole."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.4711.tmp").write_text('{"form')
    run = RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    assert run.record().name == "run"


def test_of_two_that_make_a_run_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def meanwhile() -> dict[str, str | int | float]:
        if not tried:
            tried.append("again")
            with pytest.raises(RunError, match=r"another process .* is working on"):
                RunDirectory.create(tmp_path / "run", asked={"minutes": 4}, seed=0)
        return machine()

    monkeypatch.setattr(runs, "machine", meanwhile)
    run = RunDirectory.create(tmp_path / "run", asked={"minutes": 3}, seed=0)
    assert tried
    assert run.record().asked == {"minutes": 3}


def test_a_run_that_another_made_a_moment_ago_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = runs.locked_folder

    def after_another(folder: Path, *, remedy: str) -> AbstractContextManager[None]:
        monkeypatch.setattr(runs, "locked_folder", lock)
        RunDirectory.create(folder, asked={"minutes": 4}, seed=0)
        return lock(folder, remedy=remedy)

    monkeypatch.setattr(runs, "locked_folder", after_another)
    with pytest.raises(RunError, match="other settings: minutes;"):
        RunDirectory.create(tmp_path / "run", asked={"minutes": 3}, seed=0)
    assert RunDirectory.open(tmp_path / "run").record().asked == {"minutes": 4}


def test_a_run_that_was_killed_before_its_record_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text("4711")
    assert RunDirectory.create(tmp_path / "run", asked={}, seed=0).record().name == "run"


def test_a_file_of_somebody_elses_named_lock_is_no_run_begun(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text("the key is under the mat")
    with pytest.raises(RunError, match="is not a run"):
        RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    assert (tmp_path / "run" / "lock").read_text() == "the key is under the mat"


def test_the_same_settings_open_the_run_again(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path / "run", asked={"minutes": 3}, seed=1)
    record = first.record()
    again = RunDirectory.create(tmp_path / "run", asked={"minutes": 3}, seed=1)
    assert again.record() == record


@pytest.mark.parametrize(
    ("asked", "seed", "named"),
    [({"minutes": 4}, 1, "minutes"), ({"minutes": 3, "chat": "x"}, 1, "chat"),
     ({"minutes": 3}, 2, "seed")],
)  # fmt: skip
def test_other_settings_are_refused_by_name(
    tmp_path: Path, asked: dict[str, object], seed: int, named: str
) -> None:
    RunDirectory.create(tmp_path / "run", asked={"minutes": 3}, seed=1)
    with pytest.raises(RunError, match=rf"other settings: {named};"):
        RunDirectory.create(tmp_path / "run", asked=asked, seed=seed)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("dear diary")
    with pytest.raises(RunError, match="is not a run"):
        RunDirectory.create(tmp_path, asked={}, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["diary"]


def test_a_run_that_is_not_there_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        RunDirectory.open(tmp_path / "gone")


def test_redoing_a_part_names_what_rests_on_it_and_is_there(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for name in ("chat", "sft", "pretrain"):
        run.stage(name).mkdir()
    run.eval.touch()
    remedy = run.to_redo("chat")
    assert remedy.split(" to start")[0].split()[1:] == [
        str(tmp_path / name) for name in ("chat", "sft", "eval.json")
    ]


def test_a_containers_share_of_the_cores_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    quota = tmp_path / "cpu.max"
    free = num_cores(tmp_path / "absent")
    assert free == 4
    for text, cores in (
        ("max 100000\n", free),
        ("50000 100000\n", 1),
        ("150000 100000\n", 2),
        ("9999900000 100000\n", free),
        ("nonsense", free),
    ):
        quota.write_text(text)
        assert num_cores(quota) == cores
    quota.unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for text, cores in (("-1\n", free), ("50000\n", 1), ("9999900000\n", free)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(text)
        assert num_cores(quota) == cores, "of version 1"
    assert machine()["cores"] == num_cores()


@pytest.mark.parametrize(
    ("asked", "used"), [("1", 1), ("3", 3), ("64", 4), ("", 4), ("0", 1), ("2,1", 4), ("all", 4)]
)
def test_threads_are_no_more_than_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, used: int
) -> None:
    monkeypatch.setattr("homespun.core.machine.num_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert num_threads() == used
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert num_threads() == 4


def test_peak_memory_is_that_of_a_python_process() -> None:
    assert 5e6 < peak_memory_bytes() < 1e12
