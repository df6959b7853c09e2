"""Does a plan keep its word? Budgets of minutes are planned, trained, and compared with the plan.

Each budget is a run of its own in `keep`, a copy of one corpus with its tokenizer, and each is
pretrained by a process of its own, as a person would call `homespun pretrain RUN --minutes N`:
    plans.jsonl        a line for each budget that was tried to its end
    trial-PRESET-N/    its run
A killed benchmark goes on; a budget that was not ended begins again, since a restart takes longer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import Progress, RunError, Silent
from homespun.core.files import append_row, read_json, read_jsonl
from homespun.core.machine import machine, versions
from homespun.recipes.scale.shapes import Preset
from homespun.recipes.stages import prepare_corpus

FINISH_BAR, LOSS_BAR, MEMORY_BAR = 0.05, 0.02, 0.15
_CHOSEN = ("rows", "threads", "kernels", "prior_order", "expected_epochs", "learning_rate",
           "matrix_learning_rate", "warmup")  # fmt: skip
_PARTS = ("corpus", "shards", "run.json", "tokenizer.json", "tokenizer_stats.json")


class PromiseAsk(NamedTuple):
    """Attributes:
    corpus: a folder, a file, or a corpus by name.
    minutes: the budgets.
    keep: a folder for the runs and what came of them; what is there is not done again.
    preset: asked for; None leaves the choice to the plan.
    """

    corpus: str
    minutes: Sequence[float]
    keep: Path
    preset: Preset | None = None


def bench_promises(ask: PromiseAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """Plan and train every budget that is not in plans.jsonl yet.

    Returns:
        JSON values: a row a budget (`foretold` and what came of it), and the bars.

    Raises:
        RunError: a trial's process failed, or `keep` has another text. Others as `prepare_corpus`.
    """
    say = progress or Silent()
    base = prepare_corpus(
        ask.corpus,
        name="text",
        runs=ask.keep,
        remedy="give another folder with --keep",
        progress=say,
    )
    path = ask.keep / "plans.jsonl"
    task = say.task("plans", 60 * sum(ask.minutes), "s")
    for minutes in ask.minutes:
        if not any(_is_of(row, minutes, ask.preset) for row in _rows(path)):
            row = try_plan(base, minutes, ask.preset)
            append_row(path, row)
        task.advance(60 * minutes)
    task.finish()
    wanted = [
        row for minutes in ask.minutes for row in _rows(path) if _is_of(row, minutes, ask.preset)
    ]
    return {
        "format": 1,
        "benchmark": "plan",
        "machine": machine(),
        "versions": versions(),
        "corpus": Path(ask.corpus).name,
        "plans": wanted,
        "bars": {"finish": FINISH_BAR, "loss": LOSS_BAR, "memory": MEMORY_BAR},
        "kept": {
            "finish": all(abs(row["finish_error"]) <= FINISH_BAR for row in wanted),
            "loss": all(abs(row["loss_error"]) <= LOSS_BAR for row in wanted),
            "inside": sum(row["inside"] for row in wanted),
            "memory": all(-MEMORY_BAR <= row["memory_error"] <= 0 for row in wanted),
        },
    }


def try_plan(base: Path, minutes: float, preset: Preset | None) -> dict[str, Any]:
    """Pretrain a copy of `base` in a process of its own; a row for plans.jsonl.

    Raises:
        RunError: the process failed.
    """
    trial = base.parent / f"trial-{preset or 'best'}-{minutes:g}"
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir(parents=True)
    for part in _PARTS:
        if (base / part).is_dir():
            shutil.copytree(base / part, trial / part, copy_function=os.link)
        elif (base / part).is_file():
            shutil.copy(base / part, trial / part)
    command = [sys.executable, "-m", "homespun.recipes.bench.promise_child"]
    job = json.dumps({"run": str(trial), "minutes": minutes, "preset": preset})
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RunError(f"training by the plan of {trial} failed: {last}", remedy="run it by hand")
    came: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    plan = read_json(trial / "plan.json")
    return compared(minutes, preset, plan, came)


def compared(
    minutes: float, asked: Preset | None, plan: Mapping[str, Any], came: Mapping[str, Any]
) -> dict[str, Any]:
    """What a plan said and what came of it; errors are shares of what was said.

    Args:
        came: `planning_seconds`, `seconds` (planning included), `val_loss`, `val_bpb`,
            `peak_memory_bytes`.
    """
    told = plan["prediction"]
    seconds = came["planning_seconds"] + plan["expected_seconds"]
    bits, memory = came["val_bpb"], came["peak_memory_bytes"]
    return {
        "minutes": minutes,
        "asked_preset": asked,
        "preset": plan["preset"],
        "size": plan["size"],
        "foretold": {
            "seconds": round(seconds, 1),
            "val_bpb": told["bits_per_byte"],
            "low": told["low"],
            "high": told["high"],
            "memory_bytes": plan["memory_bytes"],
            "tokens": plan["expected_tokens"],
        },
        # What two runs of one budget may differ in.
        "chosen": {name: plan.get(name) for name in _CHOSEN},
        **came,
        "finish_error": came["seconds"] / seconds - 1,
        "loss_error": bits / told["bits_per_byte"] - 1,
        "inside": told["low"] <= bits <= told["high"],
        "memory_error": memory / plan["memory_bytes"] - 1,
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(path)) if path.is_file() else []


def _is_of(row: Mapping[str, Any], minutes: float, preset: Preset | None) -> bool:
    return bool(row["minutes"] == minutes and row["asked_preset"] == preset)
