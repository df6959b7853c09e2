"""What any model must beat: the nearest text that was seen; a text's beginning or centre."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from homespun.classic import TfidfIndex
from homespun.classic.extracts import lead, text_rank
from homespun.core import DataError
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson, Method
from homespun.recipes.applications.neural.options import read_option
from homespun.recipes.applications.translate.recall import read_pairs, write_pairs
from homespun.recipes.applications.translate.task import Pair

_SENTENCES_FILE = "extract.json"
SENTENCES = "sentences"
"""Setting of the methods that take a summary out of its text."""


class Memory(Method[Pair, str]):
    """A translation memory: what stood beside the nearest source."""

    name = "memory"
    summary = "The translation of the nearest text that was seen."

    def learn(self, lesson: Lesson[Pair]) -> LearnedMemory:
        pairs = [(pair.source, pair.targets[0]) for pair in (*lesson.train, *lesson.dev)]
        write_pairs(lesson.folder, pairs)
        return LearnedMemory(pairs)

    def load(self, folder: Path) -> LearnedMemory:
        return LearnedMemory(read_pairs(folder))


class LearnedMemory:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._targets = [target for _, target in pairs]
        self._index = TfidfIndex([source for source, _ in pairs])

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        found = [self._index.nearest(example.source)[0] for example in examples]
        return [self._targets[number] if number >= 0 else "" for number in found]


class Lead(Method[Pair, str]):
    """The first sentences."""

    name = "lead"
    summary = "The first sentence, or several."
    held_out = NOT_NEEDED
    options: ClassVar[Mapping[str, str]] = {SENTENCES: "1"}

    def learn(self, lesson: Lesson[Pair]) -> LearnedRule:
        return _kept(lesson, lead)

    def load(self, folder: Path) -> LearnedRule:
        return LearnedRule(lead, read_sentences(folder))


class Rank(Method[Pair, str]):
    """The most central sentences."""

    name = "rank"
    summary = "TextRank: the sentences that share most with the others."
    held_out = NOT_NEEDED
    options: ClassVar[Mapping[str, str]] = {SENTENCES: "1"}

    def learn(self, lesson: Lesson[Pair]) -> LearnedRule:
        return _kept(lesson, text_rank)

    def load(self, folder: Path) -> LearnedRule:
        return LearnedRule(text_rank, read_sentences(folder))


class LearnedRule:
    """Args:
    rule: from a text and a number of sentences to an extract.
    num: of sentences.
    """

    def __init__(self, rule: Callable[[str, int], str], num: int) -> None:
        self._rule, self._num = rule, num

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        return [self._rule(example.source, self._num) for example in examples]


def write_sentences(lesson: Lesson[Pair]) -> int:
    """How many sentences the user wants, which is kept in the lesson's folder. Raises ConfigError
    where that is no number from 1 to 100."""
    num = int(read_option(lesson.options, SENTENCES, int, low=1, high=100))
    write_json(lesson.folder / _SENTENCES_FILE, {SENTENCES: num})
    return num


def read_sentences(folder: Path) -> int:
    """What `write_sentences` kept; one in what an earlier version left. Raises DataError where it
    is damaged."""
    path = folder / _SENTENCES_FILE
    if not path.is_file():
        return 1
    told = read_json(path)
    num = told.get(SENTENCES) if isinstance(told, dict) else None
    if not isinstance(num, int) or num < 1:
        raise DataError(f"{path} is damaged", remedy="learn the task again")
    return num


def _kept(lesson: Lesson[Pair], rule: Callable[[str, int], str]) -> LearnedRule:
    return LearnedRule(rule, write_sentences(lesson))
