"""Answer the rows of a file, or of standard input, with what was learned."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, DataError, RunError
from homespun.core.files import atomic_path, sha256_file, typed
from homespun.recipes.applications.contract import ROW, Application, Learned
from homespun.recipes.applications.cutting import are_cut
from homespun.recipes.applications.record import (
    LEARNED_FILE,
    RECORD_FILE,
    model_folder,
    read_record,
)
from homespun.recipes.applications.registry import find_application
from homespun.recipes.applications.rows import (
    STDIN,
    Row,
    find,
    is_missing,
    iter_rows,
    pick,
    place_of,
)
from homespun.recipes.applications.tag.task import Tag, WordsOf
from homespun.recipes.batch.answers import open_answers
from homespun.recipes.process import prepare_process

_AT_ONCE = 256
"""Rows answered together: an answer is shown before all are read."""


class Counts(NamedTuple):
    """Attributes:
    rows: answered, those of earlier times included.
    cut: of which only the beginning was read, of those answered now.
    before: answered by earlier calls.
    unparted: Chinese whose characters a tagger of words took for words, of those answered now.
    """

    rows: int
    cut: int
    before: int
    unparted: int = 0


class Opened(NamedTuple):
    """A learned task.

    Attributes:
        task: what it is about.
        learned: answers.
    """

    task: Application[Any, Any]
    learned: Learned[Any, Any]


def open_application(
    folder: Path, *, task: str | None = None, segmenter: Path | None = None
) -> Opened:
    """What `learn_application` left in `folder`.

    Args:
        task: which one it is to be; None takes any.
        segmenter: what `finetune segment` left, for Chinese text that a tagger of words is to tag.

    Raises:
        DataError: there is nothing, or what this version does not know. ConfigError: it is of
            another task than `task`, or has no use for a segmenter.
    """
    prepare_process()
    record = read_record(folder)
    if task is not None and record.task != task:
        raise ConfigError(
            f"{folder} has learned another task",
            got=record.task,
            remedy=f"use `homespun apply {record.task} {typed(folder)}`, or name a folder that "
            f"`homespun finetune {task}` wrote",
        )
    found = find_application(record.task)
    if record.method not in found.methods:
        raise DataError(
            f"{folder / RECORD_FILE} names a method that {record.task} does not have",
            got=record.method,
            remedy="learn the task again",
        )
    learned = found.methods[record.method]().load(model_folder(folder))
    as_learned = found.as_learned(learned)
    if segmenter is not None:
        if not isinstance(as_learned, Tag):
            raise ConfigError(
                f"{folder} tags no words", got=record.task, remedy="leave --segmenter out"
            )
        as_learned = as_learned.parting(segment_by(segmenter), where=str(folder))
    return Opened(as_learned, learned)


def segment_by(folder: Path) -> WordsOf:
    """What cuts texts into words, as `finetune segment` learned in `folder`.

    Raises:
        DataError: there is no such task. ConfigError: it is another one.
    """
    opened = open_application(folder, task="segment")

    def words_of(texts: Sequence[str]) -> list[list[str]]:
        examples = [opened.task.example({"text": text}) for text in texts]
        answers = opened.learned.answer(examples) if examples else []
        return [
            opened.task.shown(example, answer)["words"]
            for example, answer in zip(examples, answers, strict=True)
        ]

    return words_of


def answer_file(
    folder: Path,
    path: Path,
    names: Mapping[str, str],
    out: Path,
    *,
    task: str | None = None,
    segmenter: Path | None = None,
) -> Counts:
    """Write each row's answer, as `answered` gives it, to a file of JSON lines. They are written as
    they come; killed and called again, it goes on behind the last one. Of standard input, and where
    an answer hangs on all rows, it begins anew. All rows are read before the first is answered: one
    that is no good leaves no half of a file, which could not be gone on with once it is mended.

    Args:
        folder: what was learned.
        path, names: see `answered`.
        out: the answers.
        task, segmenter: as for `open_application`.

    Raises:
        As `open_application` and `answered`. RunError: `out` is something else, was begun with
            another model or other rows, or is written by another process.
    """
    check_other(out, path)
    opened = open_application(folder, task=task, segmenter=segmenter)
    if str(path) == STDIN or opened.task.answers_together or not path.is_file():
        with atomic_path(out) as temporary, open(temporary, "w", encoding="utf-8") as file:
            return _write(
                answered(opened, path, names),
                lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n"),
            )
    _check_rows(opened.task, path, names)
    with open_answers(out, _made_by(folder, names, segmenter), path, key="row") as answers:
        before = len(answers.done)
        return _write(answered(opened, path, names, skip=before), answers.add, before=before)


def _write(
    rows: Iterable[dict[str, Any]], write: Callable[[dict[str, Any]], object], *, before: int = 0
) -> Counts:
    """Hand each answer on to `write`, and count them."""
    num, num_cut, num_unparted = before, 0, 0
    for row in rows:
        del row["plain"]
        write(row)
        num, num_cut = num + 1, num_cut + ("cut" in row)
        num_unparted += "unparted" in row
    return Counts(num, num_cut, before, num_unparted)


def check_other(out: Path, path: Path) -> None:
    """Raises RunError where what is to be written is the file that is read."""
    if out.exists() and path.exists() and out.samefile(path):
        raise RunError(f"{out} is the file that is read", remedy="name another --out")


def _check_rows(task: Application[Any, Any], path: Path, names: Mapping[str, str]) -> None:
    """Raises DataError where a row cannot be read, or there is none."""
    number = 0
    for number, row in enumerate(iter_rows(path, names=names, with_gold=False), 1):
        _example(task, row, names, place_of(path), number)
    if not number:
        raise _no_rows(path)


def _no_rows(path: Path) -> DataError:
    return DataError(f"{place_of(path)} has no rows", remedy="give a file with some")


def _made_by(
    folder: Path, names: Mapping[str, str], segmenter: Path | None = None
) -> dict[str, Any]:
    """What decides answers: what was learned, and which columns are read."""
    learned = model_folder(folder) / LEARNED_FILE
    told = {} if segmenter is None else {"segmenter": _made_by(segmenter, {})}
    return {
        **told,
        "application": sha256_file(folder / RECORD_FILE),
        "learned": sha256_file(learned) if learned.is_file() else None,
        "columns": dict(names),
    }


def answered(
    opened: Opened, path: Path, names: Mapping[str, str], *, skip: int = 0
) -> Iterator[dict[str, Any]]:
    """Each row's answer as JSON, with its number and what was asked, in the order of the file. Rows
    are read as they are answered; typed ones are answered one by one. A row that says nothing has
    the answer None; one of which only the beginning is read has "cut", true, and Chinese that was
    parted into characters for a tagger of words "unparted", true.

    Args:
        opened: from `open_application`.
        path: a file `iter_rows` reads; "-" is standard input.
        names: from the task's names of columns to the file's.
        skip: so many rows at the beginning are passed over.

    Raises:
        DataError: as `iter_rows`, or a column is missing.
    """
    task = opened.task
    rows = islice(iter_rows(path, names=names, with_gold=False), skip, None)
    is_typed = str(path) == STDIN and sys.stdin.isatty()
    at_once = 1 if is_typed else 1 << 40 if task.answers_together else _AT_ONCE
    number = skip
    while some := list(islice(rows, at_once)):
        examples = [
            _example(task, row, names, place_of(path), number + place)
            for place, row in enumerate(some, 1)
        ]
        there = [example for example in examples if example is not None]
        answers = iter(opened.learned.answer(there) if there else [])
        cut = iter(are_cut(opened.learned, there))
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
                **({"cut": True} if next(cut) else {}),
                **({"unparted": True} if getattr(example, "unparted", False) else {}),
                "plain": task.plain(example, answer),
            }
    if not number:
        raise _no_rows(path)


def _example(
    task: Application[Any, Any], row: Row, names: Mapping[str, str], where: str, number: int
) -> Any | None:
    """None where a cell that is needed says nothing. Raises DataError where one is missing, or is
    not what it should be."""
    row = task.completed(row)
    values: dict[str, Any] = {ROW: number}
    for column in task.inputs:
        found = find([row], column, names)
        if found is None:
            if all(map(is_missing, row.values())):
                return None  # a blank line of standard input has one column, whatever the task
            pick([row], column, names, where=where)  # says what is missing
        value = row[str(found)]
        if is_missing(value) or value == []:
            if not column.may_be_empty:
                return None
            value = ""
        values[column.name] = value
    try:
        return task.example(values)
    except DataError as error:
        raise DataError(f"row {number} of {where}: {error}") from error
