"""Answer the rows of a file, or of standard input, with what was learned."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, DataError
from homespun.recipes.applications.contract import Application, Learned
from homespun.recipes.applications.record import model_folder, read_record
from homespun.recipes.applications.registry import find_application
from homespun.recipes.applications.rows import STDIN, Row, find, is_missing, iter_rows, pick
from homespun.recipes.process import prepare_process

_AT_ONCE = 256
"""Rows answered together: an answer is shown before all are read."""


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
    """Each row's answer as JSON, with its number and what was asked, in the order of the file. Rows
    are read as they are answered; typed ones are answered one by one. A row that says nothing has
    the answer None.

    Args:
        opened: from `open_application`.
        path: a file `iter_rows` reads; "-" is standard input.
        names: from the task's names of columns to the file's.

    Raises:
        DataError: as `iter_rows`, or a column is missing.
    """
    task = opened.task
    rows = iter_rows(path, names=names, with_gold=False)
    is_typed = str(path) == STDIN and sys.stdin.isatty()
    at_once = 1 if is_typed else 1 << 40 if task.answers_together else _AT_ONCE
    number = 0
    while some := list(islice(rows, at_once)):
        examples = [_example(task, row, names, f"{path}") for row in some]
        there = [example for example in examples if example is not None]
        answers = iter(opened.learned.answer(there) if there else [])
        for example in examples:
            number += 1
            if example is None:
                yield {"row": number, "asked": "", "answer": None, "plain": ""}
                continue
            answer = next(answers)
            yield {
                "row": number,
                "asked": task.asked(example),
                **task.shown(example, answer),
                "plain": task.plain(example, answer),
            }
    if not number:
        raise DataError(f"{path} has no rows", remedy="give a file with some")


def _example(
    task: Application[Any, Any], row: Row, names: Mapping[str, str], where: str
) -> Any | None:
    """None where a cell that is needed says nothing."""
    values = {}
    for column in task.inputs:
        found = find([row], column, names)
        if found is None:
            pick([row], column, names, where=where)  # says what is missing
        value = row[str(found)]
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            return None
        values[column.name] = value
    return task.example(values)
