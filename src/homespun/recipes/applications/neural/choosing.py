"""Which step's weights a network keeps: chosen by rows that are held out, never by those it is
judged on.

On the way the loss of the held-out rows is followed, as in pretraining, and the weights of its
lowest are a checkpoint that stays. At the end these and the last ones both answer the held-out
rows: the better answers decide, and of equally good ones the lower loss. Loss alone would not do.
It turns before answers get worse, since a wrong answer that is given with more confidence costs
more (Guo et al. 2017, arXiv 1706.04599, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from homespun.core import Config, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.contract import Lesson, Scored

if TYPE_CHECKING:
    from torch import nn

    from homespun.training import Evaluate, Judge, TrainConfig, TrainResult

CHOSEN_BY = "by which the step was chosen whose weights are kept"
ONLY_WATCHED = "whose loss was looked at on the way: too few to choose weights by"
"""What networks do with `Lesson.dev`, and what where it is small."""
LEAST = 20
"""Held-out rows to choose by: of fewer, one answer more or less would decide."""
KEPT_FILE = "kept.json"
ItemT = TypeVar("ItemT")


class Kept(Config):
    """`kept.json`: which step the weights are of.

    Attributes:
        step, last_step: of the weights, and of the training; summed over several models that
            answer together.
        rows: that are held out.
        is_chosen: whether they are enough to choose by.
        score: of what the choice was by, `by_best` of the weights of the lowest loss and `by_last`
            of the last; None where there was nothing to choose.
        sentence: all that for people.
    """

    step: int
    last_step: int
    rows: int
    is_chosen: bool
    score: str | None = None
    by_best: float | None = None
    by_last: float | None = None
    sentence: str


class Looks(NamedTuple):
    """What training sees of held-out rows.

    Attributes:
        evaluate: their loss, on the way.
        num: of rows.
        score: how good the model's answers to them are; None where only loss counts.
        times: how many times as long answers take as the loss.
    """

    evaluate: Evaluate
    num: int
    score: Callable[[], Scored] | None = None
    times: float = 2.0


def looks_at(
    learned: Any,
    lesson: Lesson[Any],
    evaluate: Evaluate,
    *,
    dev: Sequence[Any] | None = None,
    most: int | None = None,
    times: float = 2.0,
) -> Looks:
    """Looks at what `learned` answers.

    Args:
        learned: answers with the model that is trained.
        lesson: of it.
        evaluate: the loss of its held-out rows.
        dev: what is answered; None for `lesson.dev`.
        most: rows that are answered; evenly spaced ones of more. None for all.
        times: see `Looks`.
    """
    asked = spaced(lesson.dev if dev is None else dev, most)
    measure = lesson.score
    if measure is None:
        return Looks(evaluate, len(lesson.dev))

    def score() -> Scored:
        return measure(asked, learned.answer(asked))

    return Looks(evaluate, len(lesson.dev), score, times)


def spaced(items: Sequence[ItemT], most: int | None) -> list[ItemT]:
    """So many of them, evenly spaced; all where there are no more."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]


def choosing(config: TrainConfig, looks: Looks) -> TrainConfig:
    """`config`, by which the best weights are kept where there are rows enough to choose by."""
    from homespun.training import BestConfig

    if looks.num < LEAST:
        return config
    return config.model_copy(update={"best": BestConfig()})


def judge_of(looks: Looks, config: TrainConfig) -> Judge | None:
    """The closer look at the end, in float32, as answers are given later."""
    from homespun.training import Judge

    if looks.score is None or config.best is None:
        return None
    score = looks.score
    names: list[str] = []

    def evaluate(model: nn.Module, step: int) -> Mapping[str, Any]:
        import torch

        set_dtype: Any = getattr(model, "set_compute_dtype", lambda dtype: None)
        set_dtype(torch.float32)
        try:
            found = score()
            names.append(found.name)
            return {"score": found.value}
        finally:
            set_dtype(getattr(torch, config.compute_dtype))

    return Judge(evaluate, looks.times, lambda: names[-1])


def write_kept(folder: Path, result: TrainResult, looks: Looks) -> Kept:
    """Write what became of the choice."""
    weights = result.weights
    step = result.steps if weights is None else weights.step
    kept = Kept(
        step=step,
        last_step=result.steps,
        rows=looks.num,
        is_chosen=looks.num >= LEAST,
        score=None if weights is None else weights.score,
        by_best=None if weights is None else weights.best_score,
        by_last=None if weights is None else weights.last_score,
        sentence=_last(result, looks.num) if weights is None else weights.sentence,
    )
    write_json(folder / KEPT_FILE, kept.model_dump(mode="json"))
    return kept


def join_kept(folder: Path, folders: Sequence[Path]) -> Kept:
    """Write what became of the choices of several models that answer together.

    Args:
        folder: of all of them.
        folders: of each: `write_kept` has written there.
    """
    each = [kept for one in folders if (kept := read_kept(one)) is not None]
    assert each, "each has been learned"
    told = (f"Model {at} of {len(each)}: {kept.sentence}" for at, kept in enumerate(each, 1))
    joined = Kept(
        step=sum(kept.step for kept in each),
        last_step=sum(kept.last_step for kept in each),
        rows=each[0].rows,
        is_chosen=each[0].is_chosen,
        sentence=" ".join(told),
    )
    write_json(folder / KEPT_FILE, joined.model_dump(mode="json"))
    return joined


def read_kept(folder: Path) -> Kept | None:
    """What `write_kept` wrote; None of what nothing was chosen for. Raises DataError or ConfigError
    where it is damaged."""
    path = folder / KEPT_FILE
    if not path.is_file():
        return None
    return parse_config(Kept, read_json(path), where=str(path))


def _last(result: TrainResult, num: int) -> str:
    text = f"The weights of the last step ({result.steps:,}) are kept: "
    if num < LEAST:
        return f"{text}{num} held-out rows are too few to choose others by ({LEAST} are needed)."
    if result.epochs <= 1.0:
        return f"{text}no row was learned from twice."
    return f"{text}none before had a lower loss on the {num:,} held-out rows."
