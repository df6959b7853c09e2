"""What a run has to tell, read from its JSON files. Nothing else of the run is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.core import RunDirectory
from homespun.core.files import read_json, read_jsonl

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run as they are on disk, see docs/design/spine.md; None or empty where one is
    missing, since a report can be asked for at any time.

    `done` and `rows` are by stage, "pretrain" and "sft". `is_imported`: model and tokenizer came
    from elsewhere.
    """

    name: str
    is_imported: bool
    record: dict[str, Any]
    corpus_card: Any
    chat_card: Any
    tokenizer_stats: Any
    shards: Any
    plan: Any
    prior: Any
    baselines: Any
    evaluation: Any
    change: Any
    timings: Any
    done: dict[str, Any]
    rows: dict[str, Rows]


def read_run(run_dir: Path) -> RunFiles:
    """Read what is there.

    Raises:
        RunError: `run_dir` is no run. DataError: a file is damaged.
    """
    run = RunDirectory.open(run_dir)
    stages = ("pretrain", "sft")
    return RunFiles(
        name=run.path.resolve().name,
        is_imported=(run.path / "import.json").is_file(),
        record=run.record().model_dump(),
        corpus_card=_json(run.corpus / "card.json"),
        chat_card=_json(run.path / "chat" / "card.json"),
        tokenizer_stats=_json(run.path / "tokenizer_stats.json"),
        shards=_json(run.shards / "index.json"),
        plan=_json(run.plan),
        prior=_json(run.path / "prior.json"),
        baselines=_json(run.baselines),
        evaluation=_json(run.eval),
        change=_json(run.path / "change.json"),
        timings=_json(run.path / "timings.json"),
        done={stage: _json(run.stage(stage) / "done.json") for stage in stages},
        rows={stage: _rows(run.stage(stage) / "metrics.jsonl") for stage in stages},
    )


def dig(value: Any, *path: str) -> Any:
    """`value[path[0]][path[1]]…`, or None as soon as a step is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def number(value: Any, *path: str) -> float | None:
    """Like `dig`, and None for all that is not a finite number."""
    found = dig(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)


def table(value: Any, *path: str) -> dict[str, Any]:
    """Like `dig`, and {} for all that is not an object."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def listing(value: Any, *path: str) -> list[Any]:
    """Like `dig`, and [] for all that is not a list."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _rows(path: Path) -> Rows:
    return list(read_jsonl(path)) if path.is_file() else []
