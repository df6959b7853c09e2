"""The part of a text that a learned judge holds most like a summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.classic.extracts import ExtractRanker
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.translate.task import Pair


class Extract(Method[Pair, str]):
    """Ridge regression on what parts say, where they stand, how long and how central they are."""

    name = "extract"
    summary = "The best sentence, or of Chinese the best clause, by a judge that is learned."

    def learn(self, lesson: Lesson[Pair]) -> LearnedExtract:
        from homespun.evaluation.metrics import RougeScorer

        scorer = RougeScorer(("L",))

        def likeness(summary: str, part: str) -> float:
            return scorer.score(summary, part)["L"]

        pairs = [*lesson.train, *lesson.dev]
        ranker = ExtractRanker().fit(
            [pair.source for pair in pairs], [pair.targets for pair in pairs], likeness
        )
        ranker.save(lesson.folder)
        return LearnedExtract(ranker)

    def load(self, folder: Path) -> LearnedExtract:
        return LearnedExtract(ExtractRanker.load(folder))


class LearnedExtract:
    def __init__(self, ranker: ExtractRanker) -> None:
        self._ranker = ranker

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        return [self._ranker.best(example.source) for example in examples]
