"""Judge what was learned on rows it has not seen, hold it against baselines, and write it down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from homespun.core import ConfigError, DataError
from homespun.core.files import json_lines, write_json, write_text
from homespun.core.rng import derive_seed
from homespun.recipes.applications.card import write_card
from homespun.recipes.applications.contract import Application, Learned, Lesson, Measured, Method
from homespun.recipes.applications.reading import Parts
from homespun.recipes.applications.record import PREDICTIONS_FILE, RESULTS_FILE
from homespun.recipes.applications.results import comparisons, mistakes, predictions, results
from homespun.recipes.applications.splitting import folded, joined
from homespun.reports import write_task_report

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Statistics

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")


class Rival(NamedTuple):
    """What the learned method is held against.

    Attributes:
        name: to be shown.
        method: is learned from the same lesson.
        is_equal: with the settings, the encoder and the time of the method itself, not with its
            own usual ones.
    """

    name: str
    method: Method[Any, Any]
    is_equal: bool = False


def judge(
    task: Application[ExampleT, AnswerT],
    method: str,
    learned: Learned[ExampleT, AnswerT],
    lesson: Lesson[ExampleT],
    parts: Parts[ExampleT],
    out: Path,
    *,
    rivals: Sequence[Rival],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write results.json, predictions.jsonl, the card and the page into `out`; returns the first.

    Args:
        task, method, learned, lesson, parts: what was learned, how, and from what.
        out: folder of the task.
        rivals: learned and judged too; one that cannot be is left out, which a note says.
        facts: further entries of results.json; its `notes` stand behind those of the measures.
    """
    draw = np.random.Generator(np.random.PCG64(derive_seed(lesson.seed, "results")))
    began = time.monotonic()
    answers = learned.answer(parts.test)
    answering = round(time.monotonic() - began, 2)
    measured = task.measure(parts.test, answers, _draw(lesson.seed))
    units = units_of(task, parts.test, parts.test_groups)
    rows = predictions(task, parts.test, answers, measured, units, parts.test_rows)
    measured = redrawn(task, parts.test, measured, parts.test_groups)
    told = results(
        task, method, measured, draw, facts={**parts.facts, **facts, "answering_seconds": answering}
    )
    told["errors"] = mistakes(rows)
    write_text(out / PREDICTIONS_FILE, json_lines(rows))
    # Kept before rivals are learned: what they meet must not lose it.
    _write(out, told)
    others = []
    for rival in rivals:
        lesson.progress.say(f"baseline: {rival.name}")
        try:
            others.append((rival.name, _measured(task, rival, lesson, parts)))
        except (ConfigError, DataError) as error:
            told["notes"].append(f"The baseline {rival.name} could not be learned: {error}.")
    told["baselines"] = comparisons(measured, others, draw)
    _write(out, told)
    return told


def _write(out: Path, told: dict[str, Any]) -> None:
    write_json(out / RESULTS_FILE, told)
    write_card(out, told)
    write_task_report(out)


def _measured(
    task: Application[ExampleT, AnswerT],
    rival: Rival,
    lesson: Lesson[ExampleT],
    parts: Parts[ExampleT],
) -> Measured:
    """What a rival comes to; it leaves nothing behind."""
    folder = lesson.folder.parent / f"baseline-{rival.name.replace(' ', '-')}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    method = rival.method
    own = replace(lesson, folder=folder)
    if not rival.is_equal:
        base = lesson.base if method.needs_base else None
        alike = {n: lesson.options[n] for n in task.alike if n in lesson.options}
        options = {**method.options, **{n: v for n, v in alike.items() if n in method.options}}
        own = replace(own, seconds=None, base=base, options=options)
    try:
        answers = method.learn(own).answer(parts.test)
        measured = task.measure(parts.test, answers, _draw(lesson.seed))
        return redrawn(task, parts.test, measured, parts.test_groups)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def units_of(
    task: Application[ExampleT, Any], examples: Sequence[ExampleT], groups: Sequence[str] | None
) -> list[str]:
    """Of each example what stands for all that intervals redraw with it, see `redrawn`."""
    units = [folded(task.redrawn_with(example)) for example in examples]
    if groups is None:
        return units
    whole = joined(units, [[name] for name in groups])
    return [whole[unit] for unit in units]


def redrawn(
    task: Application[ExampleT, Any],
    examples: Sequence[ExampleT],
    measured: Measured,
    groups: Sequence[str] | None = None,
) -> Measured:
    """What hangs together is what intervals redraw as one: copies of what is to read, questions of
    a passage, and where it is told whom or what rows are of, all that are of one.

    Args:
        task: says what hangs together.
        examples: what was judged on.
        measured: of these, row by row.
        groups: of each example whom or what it is of; None where that is not told.
    """
    from homespun.evaluation.metrics import by_group

    units = units_of(task, examples, groups)
    name = task.redrawn_as if groups is None else "groups"
    if len(set(units)) == len(units):
        return measured
    some = [units[number] for number in measured.of_rows]

    def grouped(one: Statistics) -> Statistics:
        of_each = next((of for of in (units, some) if one.num == len(of)), None)
        if of_each is None or len(set(of_each)) == len(of_each):
            return one
        return by_group(one, of_each, name=name)

    return replace(measured, statistics=[grouped(one) for one in measured.statistics])


def _draw(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "intervals")))
