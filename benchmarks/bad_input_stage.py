"""The stage for bad input: a folder, a finished run in it, and what can befall both."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

WORDS = ("red old quick sly shy big", "blue small loud wet wise lost", "river forest hill town sea")


class SkipCaseError(Exception):
    """This machine cannot set the stage for the case."""


@dataclass
class Place:
    """The folder a case plays in.

    Attributes:
        folder: where the command is run; empty but for what the case puts there.
        finished: a finished run to copy from.
        stack: undoes at the end what the case did to the machine.
        arguments: further arguments of `subprocess.run`, for cases that need a process.
        prefix: what stands before the command, for cases that need a process.
    """

    folder: Path
    finished: Path
    stack: ExitStack
    arguments: dict[str, Any] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def text(self) -> str:
        """A folder of good text; its name."""
        self.write("texts/tales.txt", tales())
        return "texts"

    def run(self) -> Path:
        """A copy of the finished run as runs/tiny."""
        shutil.copytree(self.finished, self.folder / "runs" / "tiny")
        return self.folder / "runs" / "tiny"


Prepare = Callable[[Place], list[str]]


class Case(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: what is wrong, in words.
        prepare: sets the stage; returns what stands after `homespun`.
        mentions: words the sentence must have.
        code: the exit code.
        as_process: needs a process of its own.
        may_change: patterns of files the command may touch nevertheless.
    """

    kind: str
    prepare: Prepare
    mentions: tuple[str, ...]
    code: int
    as_process: bool
    may_change: tuple[str, ...]


CASES: list[Case] = []


def case(
    kind: str,
    *mentions: str,
    code: int = 1,
    as_process: bool = False,
    may_change: Sequence[str] = (),
) -> Callable[[Prepare], Prepare]:
    """Register the function below as a case."""

    def add(prepare: Prepare) -> Prepare:
        CASES.append(Case(kind, prepare, mentions, code, as_process, tuple(may_change)))
        return prepare

    return add


def plain(kind: str, line: str, *mentions: str, code: int = 2, run: bool = False) -> None:
    """Register a case that is a command line and nothing more; `""` stands for an empty word."""

    def prepare(place: Place) -> list[str]:
        if run:
            place.run()
        return [word.strip('"') for word in line.split()]

    case(kind, *mentions, code=code)(prepare)


def tales(count: int = 36) -> str:
    """Short English paragraphs, each different."""
    first, second, third = (words.split() for words in WORDS)
    return "\n\n".join(
        f"The {first[i % 6]} fox, number {i}, met a {second[i // 6 % 6]} bird by the "
        f"{third[i % 5]} and asked what the weather of day {i * 7 % 31} would be. "
        f"The bird said it would rain for {i % 9 + 2} hours, and then the sun would come."
        for i in range(count)
    )


def make_run(folder: Path) -> Path:
    """A run of the smallest size, trained for a few steps; takes seconds."""
    from homespun.recipes import (
        build_corpus_stage,
        chat_stage,
        plan_stage,
        pretrain_stage,
        train_tokenizer_stage,
    )

    texts = folder / "source" / "tales.txt"
    texts.parent.mkdir(parents=True)
    texts.write_text(tales())
    run = folder / "tiny"
    build_corpus_stage(run, str(texts.parent))
    train_tokenizer_stage(run, kind="byte")
    plan_stage(run, steps=4, size="0.2m", preset="portable")
    pretrain_stage(run)
    chat_stage(run, steps=2)
    return run


def started_again(run: Path) -> None:
    """Make pretraining of `run` look unfinished, so that it would go on."""
    (run / "pretrain" / "done.json").unlink()


def small_disk(place: Place, folder: Path, *, kilobytes: int) -> None:
    """Make `folder` a file system of `kilobytes`."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "homespun-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        raise SkipCaseError("needs the right to mount a small file system")
    place.stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)


def obey_permissions(place: Place) -> None:
    """Run the command without root's right to pass by permissions."""
    if os.geteuid() != 0:
        return
    if shutil.which("setpriv") is None:
        raise SkipCaseError("root passes by permissions, and there is no setpriv to stop it")
    place.prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@contextmanager
def open_place(finished: Path, folder: Path) -> Iterator[Place]:
    """A place in `folder`, put back to normal afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    with ExitStack() as stack:
        yield Place(folder, finished, stack)
