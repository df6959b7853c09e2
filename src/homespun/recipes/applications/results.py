"""What results.json and predictions.jsonl say: numbers with intervals, comparisons, mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from homespun.recipes.applications.contract import Application, Measured

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Measurement, Statistics

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")


def results(
    task: Application[Any, Any],
    method: str,
    measured: Measured,
    draw: np.random.Generator,
    *,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """results.json, as plain values, without baselines yet."""
    from homespun.evaluation.metrics import with_interval

    told: dict[str, Any] = {
        "task": task.name,
        "method": method,
        **facts,
        "measures": [_number(with_interval(s, draw)) for s in measured.statistics],
        "less_is_better": measured.less_is_better,
        "extra": dict(measured.extra),
        "notes": [*measured.notes, *facts.get("notes", ())],
        "classes": [row._asdict() for row in measured.classes],
        "confusion": None,
        "baselines": [],
    }
    if measured.confusion is not None:
        told["confusion"] = {"labels": measured.confusion[0], "counts": measured.confusion[1]}
    return told


def comparisons(
    measured: Measured, baselines: Sequence[tuple[str, Measured]], draw: np.random.Generator
) -> list[dict[str, Any]]:
    """What results.json says of baselines: each with the difference of the first measure to it, its
    95% interval and the p-value of a paired bootstrap over the same test rows (see `compared`)."""
    from homespun.evaluation.metrics import with_interval

    return [
        {
            "method": name,
            "measures": [_number(with_interval(s, draw)) for s in other.statistics],
            "difference": difference(measured.statistics[0], other.statistics[0], draw),
        }
        for name, other in baselines
    ]


def predictions(
    task: Application[ExampleT, AnswerT],
    examples: Sequence[ExampleT],
    answers: Sequence[AnswerT],
    measured: Measured,
    units: Sequence[str] = (),
    numbers: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """What was asked, right and answered, of each test row, and how good the answer is.

    Args:
        task, examples, answers, measured: what was judged.
        units: what intervals redraw, see `judging.units_of`: where another row is of the same one,
            the first of these is told.
        numbers: of the rows in their file; none counts those that were judged.
    """
    values = row_values(measured, len(examples))
    numbers = numbers or range(1, len(examples) + 1)
    first: dict[str, int] = {}
    for number, unit in zip(numbers, units, strict=False):
        first.setdefault(unit, number)
    with_row = [first[unit] for unit in units] or numbers
    return [
        {
            "row": number,
            "asked": task.asked(example),
            "right": task.right(example),
            "answer": task.shown(example, answer),
            "value": round(value, 4),
            **({} if together == number else {"together_with": together}),
        }
        for number, together, example, answer, value in zip(
            numbers, with_row, examples, answers, values, strict=True
        )
    ]


def mistakes(rows: Sequence[dict[str, Any]], most: int = 50) -> list[dict[str, Any]]:
    """Of `predictions` those that are not perfect, the worst first."""
    return sorted((row for row in rows if row["value"] < 1.0), key=lambda row: row["value"])[:most]


def row_values(measured: Measured, num: int) -> list[float]:
    """How good each row's answer is, 0 … 1; 0 of all where the measure is of other items."""
    if measured.per_row is not None:
        return [float(value) for value in measured.per_row]
    statistics = measured.statistics[0]
    values = statistics.values()
    if len(values) != num:
        return [0.0] * num
    return [float(value) for value in values]


def _number(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "value": measurement.value,
        "low": measurement.low,
        "high": measurement.high,
        "num": measurement.num,
        "signature": measurement.signature,
    }


def difference(ours: Statistics, theirs: Statistics, draw: np.random.Generator) -> dict[str, Any]:
    """Ours minus theirs, with the interval and the p-value of `compared`; without them where there
    are too few items to say."""
    from homespun.evaluation.intervals import MIN_ITEMS
    from homespun.evaluation.metrics import compared

    if ours.num < MIN_ITEMS:
        value = ours.value - theirs.value
        return {"value": value, "low": None, "high": None, "p": None, "signature": ours.signature}
    found = compared(ours, theirs, draw)
    return {
        "value": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p_value,
        "signature": found.signature,
    }
