"""The page of a learned task: how good it is, beside what, which classes it mixes up, what it got
wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from homespun.core import DataError
from homespun.core.files import read_json, write_text
from homespun.reports import wording
from homespun.reports.render import FILE_NAME, csp_hash, page_environment

View = dict[str, Any]
_SHADES = 9
_MOST_CLASSES, _MOST_ERRORS, _LONGEST_TEXT = 60, 50, 600


def write_task_report(folder: Path) -> Path:
    """Write `report.html` of a folder that `homespun finetune TASK` wrote.

    Raises:
        DataError: results.json or application.json is missing, damaged or of something else.
    """
    told, record = (read_json(folder / name) for name in ("results.json", "application.json"))
    if not isinstance(told, dict) or not isinstance(record, dict) or not told.get("measures"):
        raise DataError(f"{folder} has no whole results.json", remedy="learn the task again")
    path = folder / FILE_NAME
    try:
        page = render_task(told, record, name=folder.name)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, UndefinedError) as error:
        raise DataError(
            f"results.json or application.json in {folder} is not what a learned task writes",
            got=f"no {error}" if isinstance(error, KeyError) else str(error),
            remedy="learn the task again",
        ) from error
    write_text(path, page)
    return path


def render_task(told: Mapping[str, Any], record: Mapping[str, Any], *, name: str) -> str:
    """The page as HTML: one file, nothing loaded from elsewhere, no script."""
    style = resources.files("homespun.reports").joinpath("templates/style.css").read_text("utf-8")
    return (
        page_environment()
        .get_template("task.html.jinja")
        .render(
            style=style,
            style_hash=csp_hash(style),
            name=name,
            told=told,
            record=record,
            sentence=_sentence(told),
            held_out=told.get("held_out", "held out"),
            measures=[_measure(entry) for entry in told["measures"]],
            extra=[(key, _figure(value)) for key, value in told.get("extra", {}).items()],
            baselines=[
                _baseline(entry, sign=-1 if told.get("less_is_better") else 1)
                for entry in told.get("baselines", ())
            ],
            exchanged=_exchanged(told),
            classes=told.get("classes", [])[:_MOST_CLASSES],
            num_more_classes=max(0, len(told.get("classes", [])) - _MOST_CLASSES),
            confusion=_confusion(told.get("confusion")),
            errors=[_error(row) for row in told.get("errors", [])[:_MOST_ERRORS]],
        )
    )


def _sentence(told: Mapping[str, Any]) -> str:
    """What a person wants to know first."""
    main = told["measures"][0]
    name = main["name"][:1].upper() + main["name"][1:]
    text = f"{name} {_figure(main['value'])} on {main['num']:,} rows"
    if not told["test_rows_seen_in_training"]:
        text += " it has not seen"
    end, sign = ("high", -1) if told.get("less_is_better") else ("low", 1)
    better = [e for e in told.get("baselines", ()) if sign * (e["difference"][end] or 0) > 0]
    if not told.get("baselines"):
        return f"{text}."
    if len(better) == len(told["baselines"]):
        return f"{text}: better than every baseline."
    names = [e["method"] for e in told["baselines"] if e not in better]
    return f"{text}: not surely better than {wording_list(names)}."


def wording_list(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _measure(entry: Mapping[str, Any]) -> View:
    return {
        "name": entry["name"],
        "value": _figure(entry["value"]),
        "interval": _interval(entry),
        "num": entry["num"],
        "signature": entry["signature"],
    }


def _baseline(entry: Mapping[str, Any], *, sign: int) -> View:
    """By how much ours is better.

    Args:
        sign: of ours minus theirs where ours is better.
    """
    main, difference = entry["measures"][0], entry["difference"]
    better = {"low": difference["low"], "high": difference["high"]}
    if sign < 0 and difference["low"] is not None:
        better = {"low": -difference["high"], "high": -difference["low"]}
    return {
        "method": entry["method"],
        "value": _figure(main["value"]),
        "difference": f"{sign * difference['value']:+.3g}",
        "interval": _interval(better),
        "p": wording.DASH if difference["p"] is None else f"{difference['p']:.2g}",
    }


def _exchanged(told: Mapping[str, Any]) -> str:
    """Baselines whose p-value is no bootstrap's, "" for none."""
    names = [
        entry["method"]
        for entry in told.get("baselines", ())
        if "test:randomisation" in entry["difference"].get("signature", "")
    ]
    return wording_list(names) if names else ""


def _confusion(confusion: Mapping[str, Any] | None) -> View | None:
    """Rows of cells, each with a shade by its share of the row."""
    if confusion is None:
        return None
    rows = []
    for label, counts in zip(confusion["labels"], confusion["counts"], strict=True):
        total = max(1, sum(counts))
        shades = [0 if not n else max(1, round(_SHADES * n / total)) for n in counts]
        cells = [{"n": n, "shade": shade} for n, shade in zip(counts, shades, strict=True)]
        rows.append({"label": label, "cells": cells})
    return {"labels": confusion["labels"], "rows": rows}


def _error(row: Mapping[str, Any]) -> View:
    texts = {
        "asked": _cut(str(row["asked"])),
        "right": _cut(_plain(row["right"])),
        "answer": _cut(_plain(row["answer"])),
    }
    cells = [{"text": text, "lang": wording.text_language(text)} for text in texts.values()]
    return {"row": row["row"], "cells": cells}


def _plain(value: Any) -> str:
    """JSON of an answer as a person reads it; what only repeats the passage is left out."""
    if isinstance(value, dict):
        shown = {k: v for k, v in value.items() if k not in ("passage", "start", "confidence")}
        return "; ".join(_plain(part) for part in shown.values())
    if isinstance(value, list):
        return " ".join(map(str, value)) if value else wording.DASH
    return wording.DASH if value is None else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _interval(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None:
        return wording.DASH
    return f"{entry['low']:.3g} to {entry['high']:.3g}"
