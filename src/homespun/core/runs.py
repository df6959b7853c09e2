"""The run directory: one folder that holds all of a run, and the lock that guards it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homespun.core.clock import WorkClock
from homespun.core.config import Config, parse_config
from homespun.core.errors import RunError
from homespun.core.files import make_folder, os_error, read_json, write_json
from homespun.core.machine import machine, versions

FORMAT = 1
_NAME = re.compile(r"[\w][\w.+-]*")
_LONGEST_PID = 20
_FROM_PLAN = (
    "prior.json", "prior.safetensors", "pretrain", "sft", "eval.json", "report.html",
)  # fmt: skip
# What rests on each part of a run, itself first: to redo the part, all of these must go.
_RESTS_ON = {
    "shards": ("shards", "plan.json", *_FROM_PLAN),
    "plan": ("plan.json", *_FROM_PLAN),
    "chat": ("chat", "sft", "eval.json", "report.html"),
    "sft": ("sft", "eval.json", "report.html"),
}


class RunRecord(Config):
    """What `run.json` holds: what was asked, by which versions, where, with which seed."""

    format: int = FORMAT
    name: str
    created: str
    seed: int
    asked: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, str | int | float]


@contextmanager
def locked_folder(folder: Path, *, remedy: str) -> Iterator[None]:
    """Hold a folder for writing, by a file "lock" in it that names this process.

    Raises RunError where another live process holds it, or the file system has no locks. The kernel
    frees the lock of a killed process, so there is nothing to clean up by hand.
    """
    import fcntl

    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise os_error(error, f"locking {folder}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"another process (pid {owner}) is working on {folder}", remedy=remedy
            ) from error
        except OSError as error:  # file systems of clusters may have no locks
            raise os_error(error, f"locking {folder}") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_taken(folder: Path, record: str) -> bool:
    """Whether a folder in which `record` is to be written holds something else. What somebody who
    writes it at this moment has there, or left when killed, counts as nothing; neither does what
    stands beside a record that is there by now.

    Raises OSError where that cannot be seen.
    """
    if not folder.is_dir() or all(_is_of_unfinished(path, record) for path in folder.iterdir()):
        return False
    return not (folder / record).is_file()


def _is_of_unfinished(path: Path, record: str) -> bool:
    if path.name == "lock":  # ours holds the number of a process, or nothing yet
        held = path.read_bytes()[:64] if path.is_file() else b"?"
        return not held or (held.isdigit() and len(held) <= _LONGEST_PID)
    return path.name.startswith(f".{record}.") and path.name.endswith(".tmp")


class RunDirectory:
    """Paths and state of one run. Opening does not create; `create` does.

    Layout: `run.json clock.json lock corpus/ tokenizer.json tokenizer_config.json shards/
    plan.json baselines.json pretrain/ sft/ eval.json report.html`, see docs/design/spine.md.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name

    @classmethod
    def open(cls, path: Path | str) -> RunDirectory:
        """Raises RunError where `path` holds no run."""
        run = cls(Path(path))
        if not (run.path / "run.json").is_file():
            raise RunError(
                f"there is no run in {run.path}",
                remedy="see `homespun runs` for those there are, or make one with `homespun spin`",
            )
        return run

    @classmethod
    def create(cls, path: Path | str, *, asked: dict[str, Any], seed: int) -> RunDirectory:
        """Make the folder and its record, or return the existing run if it was asked the same.

        Raises RunError where the folder is something else, the run was asked for other things, or
        another process is making it.
        """
        run = cls(Path(path))
        if not _NAME.fullmatch(run.path.name):
            raise RunError(
                "a run's name has letters, digits, '-', '_', '+' and '.' only",
                got=run.path.name,
                remedy="choose another with --name",
            )
        if not (run.path / "run.json").is_file():
            run._make_folder()
            # Nobody else makes it meanwhile: what one of two is asked must not be the other's.
            with locked_folder(run.path, remedy="wait for it, or choose another --name"):
                if not (run.path / "run.json").is_file():
                    run._write_record(asked, seed)
                    return run
        record = run.record()
        if record.asked != asked or record.seed != seed:
            changed = sorted(
                key for key in {*record.asked, *asked} if record.asked.get(key) != asked.get(key)
            ) or ["seed"]
            raise RunError(
                f"the run {run.path} was started with other settings: {', '.join(changed)}",
                remedy="repeat the settings it was started with to continue it, "
                "or choose another --name",
            )
        return run

    def _make_folder(self) -> None:
        """Raises RunError where something else is there."""
        try:
            if is_taken(self.path, "run.json"):
                raise RunError(
                    f"{self.path} exists and is not a run", remedy="choose another --name"
                )
            make_folder(self.path)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(
                f"{self.path} is in the way of the run's folder", remedy="choose another --name"
            ) from error
        except OSError as error:
            raise os_error(error, f"creating {self.path}") from error

    def _write_record(self, asked: dict[str, Any], seed: int) -> None:
        record = RunRecord(
            name=self.name,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            seed=seed,
            asked=asked,
            versions=versions(),
            machine=machine(),
        )
        write_json(self.path / "run.json", record.model_dump())

    def record(self) -> RunRecord:
        path = self.path / "run.json"
        value = read_json(path)
        if not isinstance(value, dict):
            raise RunError(f"{path} is not a run record", remedy="restore it from a copy")
        record = parse_config(RunRecord, value, where=str(path))
        if record.format != FORMAT:
            raise RunError(
                f"{path} is of format {record.format} and this version reads {FORMAT}",
                remedy="use the version that wrote it",
            )
        return record

    @contextmanager
    def locked(self) -> Iterator[WorkClock]:
        """Hold the run for writing, and count working time.

        Raises RunError where another live process holds it. The kernel frees the lock of a killed
        process, so there is nothing to clean up by hand.
        """
        remedy = "wait for it, stop it, or choose another --name"
        with (
            locked_folder(self.path, remedy=remedy),
            WorkClock(self.path / "clock.json").ticking() as clock,
        ):
            yield clock

    # Where things are. One place, so that no two rooms disagree.
    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def shards(self) -> Path:
        return self.path / "shards"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def baselines(self) -> Path:
        return self.path / "baselines.json"

    @property
    def eval(self) -> Path:
        return self.path / "eval.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def stage(self, name: str) -> Path:
        """The folder of a training stage: "pretrain", "sft", …"""
        return self.path / name

    def to_redo(self, part: str) -> str:
        """A remedy: what to delete so that "shards", "plan", "chat" or "sft" is made again."""
        there = [str(self.path / name) for name in _RESTS_ON[part] if (self.path / name).exists()]
        return f"delete {' '.join(there)} to start again from there"
