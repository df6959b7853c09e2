"""One question to several passages, of which one at most need answer it.

The best of many scores is higher than one score, also where none of the passages answers: what is
enough to answer from one passage is too little to answer from the best of five. So how sure a
reader must be is chosen for each number of passages, by questions that were held out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from homespun.classic.bm25 import Bm25Index
from homespun.classic.units import is_chinese
from homespun.recipes.applications.answer.task import Found, Question

NUMBERS = (1, 2, 3, 5, 8)
"""Of passages, for which a threshold is chosen."""
_MOST_QUESTIONS = 200
"""That it is chosen by: each is read in as many passages."""


@runtime_checkable
class ReadsSeveral(Protocol):
    """A reader that knows how sure to be of the best of several passages."""

    def answer_from(
        self, question: str, passages: Sequence[str], weights: Sequence[float]
    ) -> tuple[int, Found]:
        """See `LearnedReader.answer_from`."""
        ...


class Place(NamedTuple):
    """The best place of a passage.

    Attributes:
        start, stop: in the passage, in code points.
        score: how much better it is than that there is none.
    """

    start: int
    stop: int
    score: float


class _Looks(Protocol):
    def best_places(self, questions: Sequence[Question]) -> list[Place]: ...


def confidence_of(score: float) -> float:
    """0 … 1: how much likelier the place is than that there is none."""
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))


def surest(places: Sequence[Place], weights: Sequence[float]) -> int:
    """Number of the place that is surest, times the weight of its passage; the first of equals."""
    return max(range(len(places)), key=lambda n: (confidence_of(places[n].score) * weights[n], -n))


def threshold_for(thresholds: Mapping[int, float], num: int, *, usual: float) -> float:
    """That of as many passages, or of the next larger number that there is one for; of more
    passages than any, that of the most. `usual` where there is none."""
    if not thresholds:
        return usual
    return thresholds[min((n for n in thresholds if n >= num), default=max(thresholds))]


def thresholds_for_several(
    reader: _Looks, held_out: Sequence[Question], known: Sequence[Question]
) -> dict[int, float]:
    """For each of `NUMBERS` the threshold of highest F1 where a question is put to so many
    passages: those that BM25 finds for it among all passages of the file.

    A question that nothing answers is kept from passages that, by another row, answer it. Nothing
    is chosen where every question has its answer.

    Args:
        reader: looks for places.
        held_out: questions to choose by.
        known: all questions whose passages may be found, `held_out` among them or not.
    """
    everything = [*held_out, *known]
    asked = list(held_out[:: max(1, math.ceil(len(held_out) / _MOST_QUESTIONS))])
    if all(question.answers for question in asked):
        return {}
    passages = list(dict.fromkeys(question.passage for question in everything))
    answered_by: dict[str, set[str]] = {}
    for question in everything:
        if question.answers:
            answered_by.setdefault(question.question, set()).add(question.passage)
    index = Bm25Index(passages)
    rows: list[Question] = []
    parts: list[tuple[int, int, list[float]]] = []  # from, up to, and weights of each question
    for question in asked:
        barred = set() if question.answers else answered_by.get(question.question, set())
        scores = index.scores(question.question)
        best = index.best(question.question, max(NUMBERS) + len(barred))
        kept = [n for n in best if passages[n] not in barred][: max(NUMBERS)]
        start = len(rows)
        rows += [Question(question.question, passages[n]) for n in kept]
        weights = [float(scores[n] / scores[kept[0]]) for n in kept]
        parts.append((start, len(rows), weights))
    places = reader.best_places(rows)
    found = {}
    for num in NUMBERS:
        chosen: list[tuple[Question, str, float]] = []
        for question, (start, stop, weights) in zip(asked, parts, strict=True):
            some = places[start : min(stop, start + num)]
            if some:
                at = surest(some, weights)
                text = rows[start + at].passage[some[at].start : some[at].stop]
                chosen.append((question, text, some[at].score))
        worth = _f1([text for _, text, _ in chosen], [question for question, *_ in chosen])
        refused = [float(not question.answers) for question, *_ in chosen]
        found[num] = best_threshold([score for *_, score in chosen], worth, refused)
    return found


def best_threshold(
    scores: Sequence[float], answered: Sequence[float], refused: Sequence[float]
) -> float:
    """The threshold of the highest sum: questions with a score above it count as answered, the
    others as refused. Of equally good ones the lowest; between two scores, the lower one.

    Args:
        scores: of each question's best place.
        answered, refused: what each question is worth either way.
    """
    order = sorted(range(len(scores)), key=lambda number: scores[number])
    total = sum(answered)
    best, threshold = total, -1e9
    at = 0
    while at < len(order):
        score = scores[order[at]]
        while at < len(order) and scores[order[at]] == score:
            total += refused[order[at]] - answered[order[at]]
            at += 1
        if total > best and math.isfinite(score):
            best, threshold = total, score
    return threshold


def _f1(texts: Sequence[str], questions: Sequence[Question]) -> list[float]:
    from homespun.evaluation.metrics import answer_scores

    if not texts:
        return []
    language: Any = "zh" if is_chinese([question.passage for question in questions]) else "en"
    gold = [question.answers or ("",) for question in questions]
    values: list[float] = answer_scores(texts, gold, language=language).f1.values().tolist()
    return values
