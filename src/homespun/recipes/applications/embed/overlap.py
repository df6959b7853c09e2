"""Partners by BM25: the words they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.classic.bm25 import Bm25Index
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson, Method
from homespun.recipes.applications.embed.task import Partner, Twins, partners


class Overlap(Method[Twins, Partner]):
    """Nothing is learned."""

    name = "overlap"
    summary = "BM25: the words that both have."
    held_out = NOT_NEEDED

    def learn(self, lesson: Lesson[Twins]) -> Overlap:
        return self

    def load(self, folder: Path) -> Overlap:
        return self

    def answer(self, examples: Sequence[Twins]) -> list[Partner]:
        index = Bm25Index([example.second for example in examples])
        return partners(examples, (index.scores(example.first) for example in examples))
