"""Findings of a stage under way: told once, written as rows, remembered over a resume."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from homespun.core import Progress
from homespun.core.files import read_jsonl
from homespun.training.health import Finding, Monitor, Seen
from homespun.training.metrics import RowLog
from homespun.training.stage.state import State

_REPEATED = ("rewound", "smaller_batches")  # told each time; the others once


class Watching:
    """Hands what happens to the monitor, and its findings to the metrics and the person.

    Args:
        monitor: None where only what the loop itself does is told.
        stage_dir: of metrics.jsonl; its name goes before each sentence.
        progress: told each sentence.
    """

    def __init__(self, monitor: Monitor | None, stage_dir: Path, progress: Progress) -> None:
        self._monitor, self._stage_dir, self._progress = monitor, stage_dir, progress
        self._parts = 1

    def start(self, state: State, metrics: RowLog) -> None:
        """Before the first step of this process: look at the text, or at what is known already."""
        self._parts = state.parts
        if state.step == 0 and not state.rewinds and self._monitor is not None:
            self._tell(self._monitor.before(), state, metrics)
        elif state.findings:
            rows = read_jsonl(self._stage_dir / "metrics.jsonl")
            written = sum(row["kind"] == "health" for row in rows)
            for row in state.findings[written:]:  # a kill between saving and writing left them out
                metrics.write(row)

    def before_step(self, state: State) -> None:
        if self._monitor is not None:
            self._monitor.before_step(state.step)

    def after_step(self, state: State, metrics: RowLog, seen: Seen) -> None:
        found: list[Finding] = []
        if state.parts > self._parts:
            found.append(_smaller_batches(state))
            self._parts = state.parts
        if seen.row["skipped"]:
            found.append(_skipped(state, seen.row))
        if self._monitor is not None:
            found.extend(self._monitor.after_step(seen, state.memory))
        self._tell(found, state, metrics)

    def after_evaluation(self, state: State, metrics: RowLog) -> None:
        if self._monitor is not None:
            # A mean over tasks cannot be compared with steps of one or another.
            losses = state.losses if len(set(state.kinds)) <= 1 else ()
            found = self._monitor.after_evaluation(
                state.step, state.evaluation, losses, state.memory
            )
            self._tell(found, state, metrics)

    def tell(self, finding: Finding, state: State, metrics: RowLog) -> None:
        """What the loop itself found."""
        self._tell([finding], state, metrics)

    def write_last(self, state: State, metrics: RowLog) -> None:
        """Write and tell the newest of the findings in `state`, which others put there."""
        metrics.write(state.findings[-1])
        self._say(state.findings[-1]["sentence"])

    def _tell(self, found: Iterable[Finding], state: State, metrics: RowLog) -> None:
        for finding in found:
            told = {row["finding"] for row in state.findings}
            if finding.kind in told and finding.kind not in _REPEATED:
                continue
            state.findings.append(finding.row())
            metrics.write(finding.row())
            self._say(finding.sentence)

    def _say(self, sentence: str) -> None:
        self._progress.say(f"{self._stage_dir.name}: {sentence}")


def rewound(state: State, before: int, max_rewinds: int) -> Finding:
    """That the run went back from step `before` to where `state` is now."""
    return Finding(
        "rewound",
        state.step,
        float(before),
        float(max_rewinds),
        f"Steps up to {before} went wrong one after another, so training went back to step "
        f"{state.step} and leaves out the text read in between. If it happens again, use a "
        "smaller learning rate and look at the text for garbage.",
    )


def let_pass(state: State) -> Finding:
    """That steps with large gradients are taken from now on."""
    return Finding(
        "large_gradients",
        state.step,
        float(state.rewinds_here),
        1.0,
        f"Gradients before step {state.step} were far longer than before on other text as well, "
        "with losses as they were, so such steps are taken from here on (gradients are cut to a "
        "length). If the loss grows now, a smaller learning rate is safer.",
    )


def stopped_early(state: State) -> Finding:
    """That the held-out loss has turned and the stage ends for it."""
    loss = math.nan if state.best_loss is None else state.best_loss
    return Finding(
        "stopped_early",
        state.step,
        float(state.best_step),
        loss,
        f"Held-out loss was lowest after {state.best_step} steps ({loss:.3f} nats) and has not "
        "been lower since: training ends here.",
    )


def _skipped(state: State, row: dict[str, Any]) -> Finding:
    because = {
        "not finite": "its loss or gradient was not a finite number",
        "loss": "its loss was far above that of the steps before",
        "gradient": "its gradient was far longer than those of the steps before",
    }[row["skipped_for"]]
    return Finding(
        "skipped_step",
        state.step,
        float(state.skipped),
        0.0,
        f"Step {state.step} was skipped because {because}; a few such steps do no harm, and "
        "later ones are counted but not told.",
    )


def _smaller_batches(state: State) -> Finding:
    return Finding(
        "smaller_batches",
        state.step,
        float(state.parts),
        1.0,
        f"Memory did not suffice for a step, so each batch is now computed in {state.parts} parts: "
        "a step learns from as many rows as before, only slower (and where there is dropout, by "
        "other draws). Close other programs to leave more memory free.",
    )
