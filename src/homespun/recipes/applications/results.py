"""What results.json and predictions.jsonl say: numbers with intervals, comparisons, mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from homespun.core.rng import derive_seed
from homespun.recipes.applications.contract import Application, Measured

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Measurement, Statistics

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")


def results(
    task: Application[Any, Any],
    method: str,
    measured: Measured,
    baselines: Sequence[tuple[str, Measured]],
    *,
    facts: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """results.json, as plain values.

    Each baseline stands with the difference of the first measure to it, its 95% interval and the
    p-value of a paired bootstrap over the same test rows.
    """
    from homespun.evaluation.metrics import bootstrap

    draw = np.random.Generator(np.random.PCG64(derive_seed(seed, "results")))
    told: dict[str, Any] = {
        "task": task.name,
        "method": method,
        **facts,
        "measures": [_number(bootstrap(s, draw)) for s in measured.statistics],
        "extra": dict(measured.extra),
        "notes": list(measured.notes),
        "classes": [row._asdict() for row in measured.classes],
        "confusion": None,
        "baselines": [],
    }
    if measured.confusion is not None:
        told["confusion"] = {"labels": measured.confusion[0], "counts": measured.confusion[1]}
    for name, other in baselines:
        told["baselines"].append(
            {
                "method": name,
                "measures": [_number(bootstrap(s, draw)) for s in other.statistics],
                "difference": _difference(measured.statistics[0], other.statistics[0], draw),
            }
        )
    return told


def predictions(
    task: Application[ExampleT, AnswerT],
    examples: Sequence[ExampleT],
    answers: Sequence[AnswerT],
    measured: Measured,
    *,
    most_wrong: int | None = None,
) -> list[dict[str, Any]]:
    """What was asked, right and answered, of each test row; with `most_wrong` of so many of those
    whose answers are not perfect, the worst first."""
    values = row_values(measured, len(examples))
    order: Sequence[int] = range(len(examples))
    if most_wrong is not None:
        wrong = [n for n in order if values[n] < 1.0]
        order = sorted(wrong, key=lambda n: (values[n], n))[:most_wrong]
    return [
        {
            "row": number + 1,
            "asked": task.asked(examples[number]),
            "right": task.right(examples[number]),
            "answer": task.shown(examples[number], answers[number]),
            "value": round(values[number], 4),
        }
        for number in order
    ]


def row_values(measured: Measured, num: int) -> list[float]:
    """How good each row's answer is, 0 … 1; 0 of all where the measure is of other items."""
    if measured.per_row is not None:
        return [float(value) for value in measured.per_row]
    statistics = measured.statistics[0]
    values = statistics.values()
    if len(values) != num:
        return [0.0] * num
    top = 100.0 if statistics.name in ("BLEU", "chrF2") else 1.0
    return [float(value) / top for value in values]


def _number(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "value": measurement.value,
        "low": measurement.low,
        "high": measurement.high,
        "num": measurement.num,
        "signature": measurement.signature,
    }


def _difference(ours: Statistics, theirs: Statistics, draw: np.random.Generator) -> dict[str, Any]:
    """Ours minus theirs; without interval and p-value where there are too few rows to say."""
    from homespun.evaluation.intervals import MIN_ITEMS
    from homespun.evaluation.metrics import paired_bootstrap

    if ours.num < MIN_ITEMS:
        value = ours.value - theirs.value
        return {"value": value, "low": None, "high": None, "p": None, "signature": ours.signature}
    compared = paired_bootstrap(ours, theirs, draw)
    return {
        "value": compared.difference,
        "low": compared.low,
        "high": compared.high,
        "p": compared.p_value,
        "signature": compared.signature,
    }
