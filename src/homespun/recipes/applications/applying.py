"""Answer the rows of a file, or of standard input, with what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError
from homespun.recipes.applications.contract import Application, Learned
from homespun.recipes.applications.learning import read_examples
from homespun.recipes.applications.record import model_folder, read_record
from homespun.recipes.applications.registry import find_application
from homespun.recipes.process import prepare_process

_AT_ONCE = 256
"""Rows answered together: an answer is shown before all are there."""


class Opened(NamedTuple):
    """A learned task.

    Attributes:
        task: what it is about.
        learned: answers.
    """

    task: Application[Any, Any]
    learned: Learned[Any, Any]


def open_application(folder: Path, *, task: str | None = None) -> Opened:
    """What `learn_application` left in `folder`.

    Raises:
        DataError: there is nothing. ConfigError: it is of another task than `task`.
    """
    prepare_process()
    record = read_record(folder)
    if task is not None and record.task != task:
        raise ConfigError(
            f"{folder} has learned another task",
            got=record.task,
            remedy=f"use `homespun apply {record.task} {folder}`",
        )
    found = find_application(record.task)
    return Opened(found, found.methods[record.method]().load(model_folder(folder)))


def answered(opened: Opened, path: Path, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Each row's answer as JSON, with what was asked, in the order of the file.

    Args:
        opened: from `open_application`.
        path: a file `read_rows` reads; "-" is standard input.
        names: from the task's names of columns to the file's.

    Raises:
        DataError: as `read_rows`.
    """
    task = opened.task
    examples = read_examples(task, path, names, with_gold=False)
    for start in range(0, len(examples), _AT_ONCE):
        some = examples[start : start + _AT_ONCE]
        for example, answer in zip(some, opened.learned.answer(some), strict=True):
            yield {
                "asked": task.asked(example),
                **task.shown(example, answer),
                "plain": task.plain(example, answer),
            }
