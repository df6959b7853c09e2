"""What a reader must beat: a sentence by the words it shares; an answer given before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.classic import TfidfIndex
from homespun.classic.extracts import sentences_of
from homespun.core import DataError
from homespun.core.files import json_lines, read_jsonl, write_text
from homespun.recipes.applications.answer.task import Found, Question
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson, Method

_FILE = "answers.jsonl"


class Overlap(Method[Question, Found]):
    """Always answers, with a whole sentence."""

    name = "overlap"
    summary = "The sentence of the passage most like the question, by TF-IDF."
    held_out = NOT_NEEDED

    def learn(self, lesson: Lesson[Question]) -> Overlap:
        return self

    def load(self, folder: Path) -> Overlap:
        return self

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        found = []
        for example in examples:
            sentences = sentences_of(example.passage)
            place, likeness = TfidfIndex(sentences).nearest(example.question)
            text = sentences[max(0, place)] if sentences else ""
            found.append(Found(text, example.passage.find(text) if text else -1, likeness))
        return found


class Nearest(Method[Question, Found]):
    """The answer to the most similar question that was learned from."""

    name = "nearest"
    summary = "The answer to the most similar question that was learned from."

    def learn(self, lesson: Lesson[Question]) -> LearnedNearest:
        pairs = [
            (example.question, example.answers[0] if example.answers else "")
            for example in (*lesson.train, *lesson.dev)
        ]
        rows = [{"question": question, "answer": answer} for question, answer in pairs]
        write_text(lesson.folder / _FILE, json_lines(rows))
        return LearnedNearest(pairs)

    def load(self, folder: Path) -> LearnedNearest:
        path = folder / _FILE
        try:
            pairs = [(str(row["question"]), str(row["answer"])) for row in read_jsonl(path)]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged", remedy="learn the task again") from error
        return LearnedNearest(pairs)


class LearnedNearest:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._answers = [answer for _, answer in pairs]
        self._index = TfidfIndex([question for question, _ in pairs])

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        found = []
        for example in examples:
            number, likeness = self._index.nearest(example.question)
            text = self._answers[number] if number >= 0 else ""
            found.append(Found(text, example.passage.find(text) if text else -1, likeness))
        return found
