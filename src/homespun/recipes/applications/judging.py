"""Judge what was learned on rows it has not seen, hold it against baselines, and write it down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from homespun.core import ConfigError, DataError
from homespun.core.files import json_lines, write_json, write_text
from homespun.core.rng import derive_seed
from homespun.recipes.applications.card import write_card
from homespun.recipes.applications.contract import Application, Learned, Lesson, Measured, Method
from homespun.recipes.applications.reading import Parts
from homespun.recipes.applications.record import PREDICTIONS_FILE, RESULTS_FILE
from homespun.recipes.applications.results import comparisons, mistakes, predictions, results
from homespun.recipes.applications.splitting import folded
from homespun.reports import write_task_report

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
    rows = predictions(task, parts.test, answers, measured)
    measured = _redrawn(task, parts.test, measured)
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
            others.append((rival.name, _measured(task, rival, lesson, parts.test)))
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
    test: Sequence[ExampleT],
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
        measured = task.measure(test, method.learn(own).answer(test), _draw(lesson.seed))
        return _redrawn(task, test, measured)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _redrawn(
    task: Application[ExampleT, Any], examples: Sequence[ExampleT], measured: Measured
) -> Measured:
    """Copies of what is to read hang together: who errs on one errs on all. So different ones are
    what intervals redraw. Where a task redraws groups of its own, these hold all copies."""
    from homespun.evaluation.metrics import by_group

    keys = [folded(task.key(example)) for example in examples]
    if len(set(keys)) == len(keys):
        return measured
    grouped = [
        by_group(one, keys, name="different inputs") if one.num == len(keys) else one
        for one in measured.statistics
    ]
    return replace(measured, statistics=grouped)


def _draw(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "intervals")))
