"""What any model must beat: the nearest text that was seen; a text's beginning or centre."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.classic import TfidfIndex
from homespun.classic.extracts import lead, text_rank
from homespun.core.files import json_lines, read_jsonl, write_text
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.translate.task import Pair

_FILE = "memory.jsonl"


class Memory(Method[Pair, str]):
    """A translation memory: what stood beside the nearest source."""

    name = "memory"
    summary = "The translation of the nearest text that was seen."

    def learn(self, lesson: Lesson[Pair]) -> LearnedMemory:
        pairs = [(pair.source, pair.targets[0]) for pair in (*lesson.train, *lesson.dev)]
        rows = [{"source": source, "target": target} for source, target in pairs]
        write_text(lesson.folder / _FILE, json_lines(rows))
        return LearnedMemory(pairs)

    def load(self, folder: Path) -> LearnedMemory:
        rows = read_jsonl(folder / _FILE)
        return LearnedMemory([(str(row["source"]), str(row["target"])) for row in rows])


class LearnedMemory:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._targets = [target for _, target in pairs]
        self._index = TfidfIndex([source for source, _ in pairs])

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        found = [self._index.nearest(example.source)[0] for example in examples]
        return [self._targets[number] if number >= 0 else "" for number in found]


class Lead(Method[Pair, str]):
    """The first sentence."""

    name = "lead"
    summary = "The first sentence."

    def learn(self, lesson: Lesson[Pair]) -> Lead:
        return self

    def load(self, folder: Path) -> Lead:
        return self

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        return [lead(example.source) for example in examples]


class Rank(Method[Pair, str]):
    """The most central sentence."""

    name = "rank"
    summary = "TextRank: the sentence that shares most with the others."

    def learn(self, lesson: Lesson[Pair]) -> Rank:
        return self

    def load(self, folder: Path) -> Rank:
        return self

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        return [text_rank(example.source) for example in examples]
