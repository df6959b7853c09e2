"""Bags of words and a linear classifier: logistic regression, or naive Bayes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from homespun.classic.bags import BagClassifier, Kind
from homespun.recipes.applications.classify.task import Labels, Text, all_labels
from homespun.recipes.applications.contract import Lesson, Method


class Linear(Method[Text, Labels]):
    """TF-IDF and logistic regression."""

    name = "linear"
    summary = "TF-IDF of words and parts of words, logistic regression: seconds, and hard to beat."
    held_out = "that its penalty was chosen by and that were then learned from as well"
    kind: ClassVar[Kind] = "logistic"

    def learn(self, lesson: Lesson[Text]) -> LearnedBag:
        examples = [*lesson.train, *lesson.dev]
        all_labels(examples)
        model = BagClassifier(self.kind).fit(
            [example.text for example in lesson.train],
            [example.labels for example in lesson.train],
            dev_texts=[example.text for example in lesson.dev],
            dev_labels=[example.labels for example in lesson.dev],
            is_multi=any(example.is_multi for example in examples),
        )
        model.save(lesson.folder)
        return LearnedBag(model)

    def load(self, folder: Path) -> LearnedBag:
        return LearnedBag(BagClassifier.load(folder))


class Bayes(Linear):
    """Multinomial naive Bayes."""

    name = "bayes"
    summary = "Naive Bayes on counts of words and pairs of words."
    held_out = Method.held_out
    kind: ClassVar[Kind] = "bayes"


class LearnedBag:
    def __init__(self, model: BagClassifier) -> None:
        self._model = model

    @property
    def notes(self) -> list[str]:
        """That features were left out, where some were."""
        features = self._model.features_
        kept, left_out = len(features.vocabulary_), features.num_left_out_
        if not left_out:
            return []
        return [
            f"Of {kept + left_out:,} words, runs of words and parts of words that stand in several "
            f"texts the {kept:,} commonest were learned from: with {len(self._model.classes_):,} "
            "classes all of them would take too much memory."
        ]

    def answer(self, examples: Sequence[Text]) -> list[Labels]:
        texts = [example.text for example in examples]
        scores_NC = self._model.scores(texts)
        codes = {label: code for code, label in enumerate(self._model.classes_)}
        return [
            Labels(
                tuple(labels),
                tuple(float(row[codes[label]]) for label in labels),
                self._model.is_multi,
            )
            for labels, row in zip(self._model.predicted(scores_NC), scores_NC, strict=True)
        ]
