"""The part of a text that a learned judge holds most like a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from homespun.classic.extracts import ExtractRanker
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.translate.baselines import (
    SENTENCES,
    read_sentences,
    write_sentences,
)
from homespun.recipes.applications.translate.task import Pair


class Extract(Method[Pair, str]):
    """Ridge regression on what parts say, where they stand, how long and how central they are."""

    name = "extract"
    summary = "The best sentences, or of Chinese the best clauses, by a judge that is learned."
    options: ClassVar[Mapping[str, str]] = {SENTENCES: "1"}

    def learn(self, lesson: Lesson[Pair]) -> LearnedExtract:
        from homespun.evaluation.metrics import RougeScorer

        num = write_sentences(lesson)
        scorer = RougeScorer(("L",))

        def likeness(summary: str, part: str) -> float:
            return scorer.score(summary, part)["L"]

        pairs = [*lesson.train, *lesson.dev]
        ranker = ExtractRanker().fit(
            [pair.source for pair in pairs], [pair.targets for pair in pairs], likeness
        )
        ranker.save(lesson.folder)
        return LearnedExtract(ranker, num)

    def load(self, folder: Path) -> LearnedExtract:
        return LearnedExtract(ExtractRanker.load(folder), read_sentences(folder))


class LearnedExtract:
    def __init__(self, ranker: ExtractRanker, num: int) -> None:
        self._ranker, self._num = ranker, num

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        return [self._ranker.best(example.source, self._num) for example in examples]
