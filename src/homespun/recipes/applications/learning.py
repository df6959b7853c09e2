"""Learn a task from a file, judge it on what it has not seen, and hold it against baselines."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from homespun.core import ConfigError, DataError, Progress, Silent, WorkClock, did_you_mean
from homespun.core.files import json_lines, read_json, sha256_file, write_json, write_text
from homespun.core.machine import versions
from homespun.core.rng import derive_seed
from homespun.core.runs import locked_folder
from homespun.recipes.applications.card import write_card
from homespun.recipes.applications.contract import Application, Learned, Lesson, Measured, Method
from homespun.recipes.applications.neural import STAGE
from homespun.recipes.applications.record import (
    CLOCK_FILE,
    LEARNED_FILE,
    PREDICTIONS_FILE,
    RESULTS_FILE,
    ApplicationRecord,
    begin,
    model_folder,
)
from homespun.recipes.applications.registry import find_application
from homespun.recipes.applications.results import predictions, results
from homespun.recipes.applications.rows import find, pick, read_rows
from homespun.recipes.applications.splitting import TEST_SHARE, num_seen, split
from homespun.recipes.process import prepare_process
from homespun.reports import write_task_report

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")


class Asked(NamedTuple):
    """What a user wants learned.

    Attributes:
        task: its name.
        data: file to learn from; a tenth of it is kept to judge on where there is no `test`.
        test: file to judge on.
        out: folder that is written.
        method: None takes the task's own choice.
        base: folder of an encoder to begin with.
        columns: from the task's names of columns to the file's.
        seconds: how long learning may take; None for as long as the method thinks right.
        seed: of every draw.
        options: of the method.
        judge_baselines: also learn and judge the task's baselines.
    """

    task: str
    data: Path
    out: Path
    test: Path | None = None
    method: str | None = None
    base: Path | None = None
    columns: Mapping[str, str] = {}
    seconds: float | None = None
    seed: int = 0
    options: Mapping[str, str] = {}
    judge_baselines: bool = True


def learn_application(asked: Asked, *, progress: Progress | None = None) -> dict[str, Any]:
    """Do it all; returns results.json. Killed and called again, it goes on.

    A folder that was begun by a call that could not be carried out is taken away again.

    Raises:
        DataError: a file cannot be read, or says too little. ConfigError: there is no such task or
            method. RunError: the folder holds something else, or another process works on it.
    """
    prepare_process()
    progress = progress or Silent()
    task = find_application(asked.task)
    method = choose_method(task, asked.method, has_base=asked.base is not None)
    _check(method, asked)
    parts = _parts(task, asked)
    is_new = not asked.out.exists()
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        begin(asked.out, _record(asked, method))
        with locked_folder(asked.out, remedy="wait for it, stop it, or name another --out"):
            return _learn(task, method, asked, parts, progress)
    except (ConfigError, DataError):
        if is_new and not (model_folder(asked.out) / STAGE).exists():
            shutil.rmtree(asked.out, ignore_errors=True)
        raise


def _learn(
    task: Application[ExampleT, AnswerT],
    method: Method[ExampleT, AnswerT],
    asked: Asked,
    parts: Parts[ExampleT],
    progress: Progress,
) -> dict[str, Any]:
    facts = dict(parts.facts)
    clock = WorkClock(asked.out / CLOCK_FILE)
    with clock.ticking():
        lesson = Lesson(
            parts.train,
            parts.dev,
            model_folder(asked.out),
            seed=asked.seed,
            seconds=asked.seconds,
            base=asked.base,
            options=_options(method, asked.options),
            clock=clock,
            progress=progress,
        )
        lesson.folder.mkdir(exist_ok=True)
        learned = method.learn(lesson)
        facts["learning_seconds"] = _learning_seconds(asked.out, clock)
        measured, answers = _judged(task, learned, parts.test, asked.seed, facts)
        # Kept before baselines are learned: what they meet must not lose it.
        told = results(task, method.name, measured, [], facts=facts, seed=asked.seed)
        told["errors"] = predictions(task, parts.test, answers, measured, most_wrong=50)
        rows = predictions(task, parts.test, answers, measured)
        write_text(asked.out / PREDICTIONS_FILE, json_lines(rows))
        _write(asked.out, told)
        others, notes = [], []
        for name in task.baselines if asked.judge_baselines else ():
            if name == method.name:
                continue
            progress.say(f"baseline: {name}")
            try:
                others.append((name, _baseline(task, name, lesson, parts.test)))
            except (ConfigError, DataError) as error:
                notes.append(f"The baseline {name} could not be learned: {error}.")
    with_others = results(task, method.name, measured, others, facts=facts, seed=asked.seed)
    told |= {"baselines": with_others["baselines"], "notes": [*told["notes"], *notes]}
    _write(asked.out, told)
    return told


def _write(out: Path, told: dict[str, Any]) -> None:
    write_json(out / RESULTS_FILE, told)
    write_card(out, told)
    write_task_report(out)


def _learning_seconds(out: Path, clock: WorkClock) -> float:
    """Working seconds until learning was first done, those of killed processes included."""
    path = model_folder(out) / LEARNED_FILE
    if not path.is_file():
        write_json(path, {"seconds": round(clock.seconds(), 1)})
    return float(read_json(path)["seconds"])


def choose_method(
    task: Application[ExampleT, AnswerT], name: str | None, *, has_base: bool
) -> Method[ExampleT, AnswerT]:
    """The method of that name, or the task's choice. Raises ConfigError where there is none."""
    name = name or task.default_method(has_base=has_base)
    if name not in task.methods:
        raise ConfigError(
            f"{task.name} has no method '{name}'", remedy=did_you_mean(name, list(task.methods))
        )
    return task.methods[name]()


def read_examples(
    task: Application[ExampleT, Any], path: Path, names: Mapping[str, str]
) -> list[ExampleT]:
    """The examples of a file that says what is right.

    Raises:
        DataError: a column is missing, or a value is not what it should be.
    """
    rows = read_rows(path, names=names)
    if not rows:
        raise DataError(f"{path} has no rows", remedy="give a file with some")
    wanted = [*task.inputs, *task.gold]
    columns = {c.name: pick(rows, c, names, where=str(path)) for c in wanted}
    for column in task.optional:
        found = find(rows, column, names)
        if found is not None:
            columns[column.name] = [row.get(found) for row in rows]
    examples = []
    for number in range(len(rows)):
        try:
            examples.append(
                task.example({name: values[number] for name, values in columns.items()})
            )
        except DataError as error:
            raise DataError(f"row {number + 1} of {path}: {error}") from error
    return examples


def _check(method: Method[Any, Any], asked: Asked) -> None:
    _options(method, asked.options)
    if method.needs_base and asked.base is None:
        raise ConfigError(
            f"the method '{method.name}' begins with an encoder",
            remedy="give the folder of one with --base, MiniLM's for example",
        )
    if asked.base is not None and not (asked.base / "config.json").is_file():
        raise DataError(
            f"{asked.base} is not the folder of an encoder: it has no config.json",
            remedy="give the folder with config.json, tokenizer.json and model.safetensors",
        )


def _options(method: Method[Any, Any], given: Mapping[str, str]) -> dict[str, str]:
    for name in given:
        if name not in method.options:
            known = list(method.options)
            raise ConfigError(
                f"the method '{method.name}' has no setting '{name}'",
                remedy=did_you_mean(name, known) if known else "leave --set out",
            )
    return {**method.options, **given}


def _record(asked: Asked, method: Method[Any, Any]) -> ApplicationRecord:
    return ApplicationRecord(
        task=asked.task,
        method=method.name,
        data=str(asked.data),
        data_sha256=sha256_file(asked.data),
        test=None if asked.test is None else str(asked.test),
        test_sha256=None if asked.test is None else sha256_file(asked.test),
        columns=dict(asked.columns),
        base=None if asked.base is None else str(asked.base),
        seconds=asked.seconds,
        seed=asked.seed,
        options=_options(method, asked.options),
        versions=versions(),
    )


class Parts(NamedTuple, Generic[ExampleT]):
    """Examples to learn from, to choose by and to judge on, and what results.json says of them."""

    train: list[ExampleT]
    dev: list[ExampleT]
    test: list[ExampleT]
    facts: dict[str, Any]


def _parts(task: Application[ExampleT, Any], asked: Asked) -> Parts[ExampleT]:
    examples = read_examples(task, asked.data, asked.columns)
    num = len(examples)
    if asked.test is not None:
        examples += read_examples(task, asked.test, asked.columns)
    examples = task.settle(examples)
    examples, test = examples[:num], examples[num:]
    share = TEST_SHARE if asked.test is None else 0.0
    numbers = split(examples, task.key, seed=asked.seed, test_share=share)
    seen = num_seen(examples, test, task.key)
    if asked.test is None:
        test = [examples[number] for number in numbers.test]
    train = [examples[number] for number in numbers.train]
    dev = [examples[number] for number in numbers.dev]
    held_out = f"{len(test):,} rows of the file, held out"
    facts: dict[str, Any] = {
        "rows": {"train": len(train), "dev": len(dev), "test": len(test)},
        "test_from": held_out if asked.test is None else str(asked.test),
        "test_rows_seen_in_training": seen,
    }
    return Parts(train, dev, test, facts)


def _judged(
    task: Application[ExampleT, AnswerT],
    learned: Learned[ExampleT, AnswerT],
    test: Sequence[ExampleT],
    seed: int,
    facts: dict[str, Any],
) -> tuple[Measured, list[AnswerT]]:
    began = time.monotonic()
    answers = learned.answer(test)
    facts["answering_seconds"] = round(time.monotonic() - began, 2)
    return task.measure(test, answers, _draw(seed)), answers


def _baseline(
    task: Application[ExampleT, AnswerT],
    name: str,
    lesson: Lesson[ExampleT],
    test: Sequence[ExampleT],
) -> Measured:
    """What a baseline comes to; it leaves nothing behind."""
    folder = lesson.folder.parent / f"baseline-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    method = task.methods[name]()
    own = Lesson(
        lesson.train,
        lesson.dev,
        folder,
        seed=lesson.seed,
        seconds=None,
        base=lesson.base if method.needs_base else None,
        options=dict(method.options),
        clock=lesson.clock,
        progress=lesson.progress,
    )
    try:
        return task.measure(test, method.learn(own).answer(test), _draw(lesson.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _draw(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "intervals")))
