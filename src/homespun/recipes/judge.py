"""The last stages: how good is it, and the page that says so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homespun.core import Conversation, DataError, Message, Progress, RunDirectory
from homespun.core.files import read_json, read_jsonl, write_json
from homespun.recipes.run import Run

FEWEST_LOOKS = 4
LOOK_NOISE = 0.002  # of a loss on some thousand tokens, always the same ones
ROSE = 5 * LOOK_NOISE  # above an earlier look by more than this, the loss has risen


def ensure_evaluation(
    run: RunDirectory, *, seconds: float, again: bool = False, progress: Progress
) -> dict[str, Any]:
    """Measure the pretrained model, and the chat model where there is one; returns eval.json.

    Args:
        seconds: that the evaluation may take.
        again: measure although there is an eval.json, which stays until the new one is there.
    """
    from homespun.corpus import iter_documents
    from homespun.evaluation import ChatSubject, EvaluationData, evaluate_run

    if again or not run.eval.is_file():
        base = Run(run.path, stage="pretrain")
        chat = Run(run.path, stage="sft") if (run.stage("sft") / "done.json").is_file() else None

        def train_texts() -> Iterator[str]:
            return (document.text for document in iter_documents(run.corpus, "train"))

        result = evaluate_run(
            base.model,
            base.tokenizer,
            base.engine,
            EvaluationData(
                validation_texts=[d.text for d in iter_documents(run.corpus, "validation")],
                train_texts=train_texts,
                conversations=list(_conversations(run, "validation")) if chat else [],
                train_conversations=_conversations(run, "train") if chat else [],
                baselines=read_json(run.baselines) if run.baselines.is_file() else None,
                lowest_last=was_lowest_last(run.stage("pretrain")),
                read_enough=is_capped(run),
            ),
            chat=ChatSubject(chat.model, chat.engine) if chat else None,
            seconds_budget=seconds,
            seed=run.record().seed,
            progress=progress,
        )
        write_json(run.eval, result)
    evaluation: dict[str, Any] = read_json(run.eval)
    return evaluation


def is_capped(run: RunDirectory) -> bool:
    """Whether the plan has steps end pretraining, before its seconds are over."""
    plan = read_json(run.plan) if run.plan.is_file() else {}
    return plan.get("seconds") is not None and plan.get("num_steps") is not None


def was_lowest_last(stage: Path) -> bool | None:
    """Whether the last look of a training at held-out text was the lowest of all, but for what such
    a look is off by, and none on the way lay clearly above an earlier one: a learning rate that
    decays brings the loss down at the end also of a training that overfits. None of a stage with
    too few looks to tell, or whose record cannot be read."""
    try:
        looks = [
            float(row["loss"])
            for row in read_jsonl(stage / "metrics.jsonl")
            if row.get("kind") == "eval" and row.get("loss") is not None
        ]
    except (DataError, OSError, AttributeError, TypeError, ValueError):
        return None  # also of rows that are no objects and losses that are no numbers
    looks = [loss for loss in looks if math.isfinite(loss)]
    if len(looks) < FEWEST_LOOKS:
        return None
    lowest = looks[0]
    for loss in looks:
        if loss > lowest * (1 + ROSE):
            return False
        lowest = min(lowest, loss)
    return looks[-1] <= lowest * (1 + LOOK_NOISE)


def ensure_report(run: RunDirectory, *, again: bool = False) -> Path:
    """Write report.html, unless it is there and `again` is not asked."""
    from homespun.reports import write_report

    if again or not run.report.is_file():
        write_report(run.path)
    return run.report


def _conversations(run: RunDirectory, split: str) -> Iterator[Conversation]:
    for row in read_jsonl(run.path / "chat" / f"{split}.jsonl"):
        yield Conversation(
            messages=tuple(Message(m["role"], m["content"]) for m in row["messages"]),
            source=row.get("source", ""),
            category=row.get("category", ""),
        )
