"""What results.json and predictions.jsonl say: numbers with intervals, comparisons, mistakes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from homespun.core.rng import derive_seed
from homespun.recipes.applications.contract import Application, Measured

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Comparison, Measurement, Statistics

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
    from homespun.evaluation.metrics import bootstrap, paired_bootstrap

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
        compared = paired_bootstrap(measured.statistics[0], other.statistics[0], draw)
        told["baselines"].append(
            {
                "method": name,
                "measures": [_number(bootstrap(s, draw)) for s in other.statistics],
                "difference": _difference(compared),
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
    values = item_values(measured.statistics[0], len(examples))
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


def item_values(statistics: Statistics, num: int) -> list[float]:
    """The measure of each item alone, 0 … 1; 0 of all where it is of other items than rows."""
    values = statistics.values()
    if len(values) != num:
        return [0.0] * num
    top = 100.0 if statistics.name in ("BLEU", "chrF") else 1.0
    return [float(value) / top for value in values]


def json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _number(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "value": measurement.value,
        "low": measurement.low,
        "high": measurement.high,
        "num": measurement.num,
        "signature": measurement.signature,
    }


def _difference(compared: Comparison) -> dict[str, Any]:
    return {
        "value": compared.difference,
        "low": compared.low,
        "high": compared.high,
        "p": compared.p_value,
        "signature": compared.signature,
    }
