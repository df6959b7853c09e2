"""A learned lexicon with negation: for or against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homespun.classic.tagging import LexiconSentiment
from homespun.core import DataError
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.classify.task import Labels, Text, all_labels
from homespun.recipes.applications.contract import Lesson, Method

_FILE = "labels.json"


class Rules(Method[Text, Labels]):
    """Weighs words for and against; of exactly two classes."""

    name = "rules"
    summary = "A lexicon learned from the texts, with negation: two classes only."

    def learn(self, lesson: Lesson[Text]) -> LearnedRules:
        """Raises DataError where there are not exactly two classes."""
        examples = [*lesson.train, *lesson.dev]
        labels = all_labels(examples)
        if len(labels) != 2 or any(example.is_multi for example in examples):
            raise DataError(
                "the method 'rules' tells two classes apart",
                got=f"{len(labels)} classes",
                remedy="use the method linear",
            )
        model = LexiconSentiment().fit(
            [example.text for example in examples],
            [labels.index(example.labels[0]) for example in examples],
        )
        model.save(lesson.folder)
        write_json(lesson.folder / _FILE, labels)
        return LearnedRules(model, labels)

    def load(self, folder: Path) -> LearnedRules:
        labels = read_json(folder / _FILE)
        if not isinstance(labels, list) or len(labels) != 2:
            raise DataError(f"{folder / _FILE} is damaged", remedy="learn the task again")
        return LearnedRules(LexiconSentiment.load(folder), [str(label) for label in labels])


class LearnedRules:
    def __init__(self, model: LexiconSentiment, labels: Sequence[str]) -> None:
        self._model, self._labels = model, labels

    def answer(self, examples: Sequence[Text]) -> list[Labels]:
        found = self._model.predict([example.text for example in examples])
        return [Labels((self._labels[code],)) for code in found]
