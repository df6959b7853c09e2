"""The model card: what was learned from what, how good it is, what it should not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.core.files import typed, write_text
from homespun.recipes.applications.record import (
    CARD_FILE,
    ApplicationRecord,
    model_folder,
    read_record,
)
from homespun.recipes.applications.registry import find_application

_MOST_CLASSES = 40
_ROWS_KEPT = ("memory.jsonl", "answers.jsonl")
"""Files of models that look up rows they learned from."""


def write_card(folder: Path, told: Mapping[str, Any]) -> None:
    """Write README.md of a learned task, in the sections of Mitchell et al. 2019 (arXiv
    1810.03993) that apply to it.

    Args:
        folder: with its application.json.
        told: results.json.
    """
    write_text(folder / CARD_FILE, "\n".join(_lines(folder, told)) + "\n")


def _lines(folder: Path, told: Mapping[str, Any]) -> list[str]:
    record = read_record(folder)
    rows = told["rows"]
    lines = [
        f"# {record.task}: {folder.name}",
        "",
        f"Learned with `homespun finetune {record.task}`, method `{record.method}`, seed "
        f"{record.seed}, in {told['learning_seconds']:,.0f} seconds.",
        "",
        "## Data",
        "",
        f"`{Path(record.data).name}` (sha256 `{record.data_sha256[:12]}…`): {rows['train']:,} rows "
        f"to learn from, {rows['dev']:,} more {told['held_out']}. Judged on {rows['test']:,} "
        f"rows: {told['test_from']}.",
        "",
        told["split"]["how"],
    ]
    if told["test_rows_seen_in_training"]:
        lines += [
            "",
            f"**{told['test_rows_seen_in_training']:,} of the test rows are among the rows learned "
            "from:** the numbers below are too good by what that is worth.",
        ]
    if record.base is not None:
        lines += ["", _begun(record)]
    for kept in _ROWS_KEPT:
        if (model_folder(folder) / kept).is_file():
            lines += [
                "",
                f"The rows learned from are kept as they are in `model/{kept}`, where every text "
                "is looked up: who gets the model gets them too.",
            ]
    lines += ["", "## How good it is", "", "| measure | value | 95% interval | rows |"]
    lines += ["|---|---|---|---|", *map(_measure, told["measures"])]
    lines += ["", *told["notes"]]
    if told["baselines"]:
        lines += ["", "| beside it | value | difference (95%) | p |", "|---|---|---|---|"]
        lines += [_baseline(entry) for entry in told["baselines"]]
    lines += _classes(told)
    lines += [
        "",
        "## Use it",
        "",
        f"`homespun apply {record.task} {typed(folder.name)} FILE`",
        "",
        "## What to mind",
        "",
        "It says what the rows it learned from would have said, mistakes and prejudices included, "
        "and is less often right on text of another kind than theirs than the numbers above. "
        "Look at `predictions.jsonl` before you rely on it.",
    ]
    return lines


def _begun(record: ApplicationRecord) -> str:
    kind = find_application(record.task).methods[record.method]().base_kind
    text = f"Begun with the {kind} `{Path(record.base or '').resolve().name}`."
    prefix = record.options.get("prefix")
    return text if not prefix else f"{text} Before every text that is read stands `{prefix}`."


def _measure(entry: Mapping[str, Any]) -> str:
    name = f"{entry['name']} (`{_cell(entry['signature'])}`)"
    return f"| {name} | {entry['value']:.4g} | {_interval(entry)} | {entry['num']:,} |"


def _baseline(entry: Mapping[str, Any]) -> str:
    main, difference = entry["measures"][0], entry["difference"]
    around = f" ({_interval(difference)})" if difference["low"] is not None else ""
    return (
        f"| {entry['method']} | {main['name']} {main['value']:.4g} | {difference['value']:+.4g}"
        f"{around} | {_p(difference)} |"
    )


def _classes(told: Mapping[str, Any]) -> list[str]:
    if not told["classes"]:
        return []
    lines = ["", "| class | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for row in told["classes"][:_MOST_CLASSES]:
        lines.append(
            f"| {_cell(row['label'])} | {row['precision']:.3f} | {row['recall']:.3f} | "
            f"{row['f1']:.3f} | {row['num_gold']:,} |"
        )
    if len(told["classes"]) > _MOST_CLASSES:
        more = len(told["classes"]) - _MOST_CLASSES
        lines += ["", f"{more:,} more classes are in `results.json`."]
    return lines


def _p(entry: Mapping[str, Any]) -> str:
    return "" if entry["p"] is None else f"{entry['p']:.3g}"


def _interval(entry: Mapping[str, Any]) -> str:
    return "" if entry["low"] is None else f"{entry['low']:.4g} to {entry['high']:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "(none)"
