"""Several tasks learned at once by one encoder, so that each learns from the others' data.

Liu et al. 2019 (arXiv 1901.11504): a head for each task, batches of all tasks in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from homespun.core import derive_seed
from homespun.recipes.applications.contract import Lesson, Scored
from homespun.recipes.applications.neural.bases import Base, base_of
from homespun.recipes.applications.neural.choosing import KEPT_FILE, Looks, looks_at
from homespun.recipes.applications.neural.fitting import (
    WEIGHTS_FILE,
    fit_with,
    load_model,
    save_weights,
    train_config,
)
from homespun.recipes.applications.neural.method import Begun, EncoderLearning

COMMON = ("epochs", "rate")
"""Options of the first lesson by which all are trained. How large its batches are, and all that its
head wants, each task says itself."""


def learn_together(
    pupils: Sequence[tuple[EncoderLearning[Any, Any], Lesson[Any]]], folder: Path
) -> list[Any]:
    """Learn several tasks on one encoder; returns what each has learned, as `learn` would.

    Every lesson's folder has then all its task needs, the encoder included. Rates, epochs and time
    are those of the first lesson; an epoch reads the examples of every task once.

    Args:
        pupils: how each task is learned, and from what; all begin with the same encoder.
        folder: of the common training; it exists.
    """
    from homespun.models.heads import JointHeads
    from homespun.training import JointObjective, TaskBatches

    base = _common_base(pupils)
    begun = [method.begin(lesson, base) for method, lesson in pupils]
    lessons = [lesson for _, lesson in pupils]
    if not all((lesson.folder / WEIGHTS_FILE).is_file() for lesson in lessons):
        heads = JointHeads([part.learned.model for part in begun])
        lesson = replace(lessons[0], folder=folder)
        source = TaskBatches(
            [part.source for part in begun], seed=derive_seed(lesson.seed, "tasks")
        )
        config = train_config(source, lesson, begun[0].settings)
        objective = JointObjective([part.objective for part in begun])
        fit_with(heads, objective, source, lesson, config, _looks(begun, lessons))
        for part, own in zip(begun, lessons, strict=True):
            (own.folder / KEPT_FILE).write_bytes((folder / KEPT_FILE).read_bytes())
            save_weights(part.learned.model, own.folder)
        (folder / WEIGHTS_FILE).unlink()
    for (method, lesson), part in zip(pupils, begun, strict=True):
        # Each gets an encoder of its own: to load one task must not change another.
        part.learned.model.stand_on(base.config.empty())
        load_model(part.learned.model, lesson.folder)
        method.settle(part.learned, lesson)
    return [part.learned for part in begun]


def common_shape(methods: Sequence[EncoderLearning[Any, Any]]) -> dict[str, int]:
    """That of a fresh encoder which is large enough for every task."""
    shape: dict[str, int] = {}
    for method in methods:
        for name, value in method.fresh.items():
            shape[name] = max(value, shape.get(name, 0))
    return shape


def _common_base(pupils: Sequence[tuple[EncoderLearning[Any, Any], Lesson[Any]]]) -> Base:
    """The encoder that is given, or a fresh one that all have in common."""
    shape = common_shape([method for method, _ in pupils])
    texts = [text for method, lesson in pupils for text in method.texts(lesson.train)]
    return base_of(pupils[0][1], texts, **shape)


def _looks(begun: Sequence[Begun], lessons: Sequence[Lesson[Any]]) -> Looks:
    """The means of the tasks' losses and scores. The task of the fewest held-out rows says whether
    these are enough to choose by."""
    evaluate = _mean_loss(begun)
    each = [
        looks_at(part.learned, lesson, part.evaluate, dev=part.dev)
        for part, lesson in zip(begun, lessons, strict=True)
    ]
    num = min(looks.num for looks in each)
    scores = [looks.score for looks in each if looks.score is not None]
    if len(scores) < len(each):
        return Looks(evaluate, num)

    def score() -> Scored:
        values = [one().value for one in scores]
        return Scored("mean of the tasks' measures", sum(values) / len(values))

    return Looks(evaluate, num, score)


def _mean_loss(begun: Sequence[Begun]) -> Any:
    """Mean of the tasks' held-out losses."""

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        losses = [
            float(part.evaluate(head, step)["loss"])
            for part, head in zip(begun, model.heads, strict=True)
        ]
        each = {f"loss_{number}": loss for number, loss in enumerate(losses)}
        return {"loss": sum(losses) / len(losses), "split": "validation", **each}

    return evaluate
