"""An encoder with a layer on it, pretrained or from nothing.

Shape letters: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.core import DataError, derive_seed
from homespun.recipes.applications.classify.task import Labels, Text, all_labels
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import (
    Base,
    Begun,
    EncoderLearning,
    chosen_settings,
    likely_classes,
    load_base,
    load_model,
    save_base,
    scored,
    with_examples,
)

if TYPE_CHECKING:
    from homespun.models.heads import Classifier
    from homespun.tokenizer.pieces import Pieces
    from homespun.training import Example

_LONGEST = 256
"""Tokens of a text that are read: what a text is about shows at its beginning."""


class EncoderMethod(EncoderLearning[Text, Labels]):
    """BERT's way to classify (Devlin et al. 2019, section 4.1)."""

    name = "encoder"
    summary = "An encoder with a layer on it: with --base MiniLM the best there is."
    options: ClassVar[Mapping[str, str]] = {"epochs": "", "rate": "", "tokens": "2048"}

    def texts(self, examples: Sequence[Text]) -> list[str]:
        return [example.text for example in examples]

    def begin(self, lesson: Lesson[Text], base: Base) -> Begun:
        from homespun.training import ClassifyObjective

        examples = [*lesson.train, *lesson.dev]
        labels = all_labels(examples)
        is_multi = any(example.is_multi for example in examples)
        learned = LearnedClassifier.new(base, labels, is_multi=is_multi, seed=lesson.seed)
        save_base(lesson.folder, base, labels=labels, is_multi=is_multi)
        return with_examples(
            learned,
            ClassifyObjective(),
            learned.examples(lesson.train),
            learned.examples(lesson.dev),
            lesson,
            chosen_settings(base, lesson.options),
            context=base.config.context,
        )

    def load(self, folder: Path) -> LearnedClassifier:
        base, more = load_base(folder)
        if not isinstance(more.get("labels"), list) or not isinstance(more.get("is_multi"), bool):
            raise DataError(f"{folder} does not say its classes", remedy="learn the task again")
        labels = [str(label) for label in more["labels"]]
        learned = LearnedClassifier.new(base, labels, is_multi=more["is_multi"], seed=0)
        load_model(learned.model, folder)
        return learned


class LearnedClassifier:
    """Answers with a `Classifier`.

    Args:
        model: on an encoder.
        base: its tokenizer and shape.
        labels: the classes, in the order of its scores.
        is_multi: any number of them may be right.
    """

    def __init__(
        self, model: Classifier, base: Base, labels: Sequence[str], *, is_multi: bool
    ) -> None:
        self.model = model
        self._base, self._labels, self._is_multi = base, list(labels), is_multi

    @classmethod
    def new(
        cls, base: Base, labels: Sequence[str], *, is_multi: bool, seed: int
    ) -> LearnedClassifier:
        import torch

        from homespun.models.heads import Classifier

        model = Classifier(base.encoder, len(labels), kind="many" if is_multi else "one")
        model.begin(torch.Generator().manual_seed(derive_seed(seed, "head")))
        return cls(model.eval(), base, labels, is_multi=is_multi)

    def examples(self, texts: Sequence[Text]) -> list[Example]:
        """For the training loop."""
        from homespun.training import Example

        targets = targets_of(texts, self._labels, is_multi=self._is_multi)
        return [
            Example(pieces.ids, target, pieces.types)
            for target, pieces in zip(targets, self._pieces(texts), strict=True)
        ]

    def answer(self, examples: Sequence[Text]) -> list[Labels]:
        scores = scored(self.model, self.examples(examples))
        return label_rows(scores, self._labels, is_multi=self._is_multi)

    @property
    def most(self) -> str:
        return f"{self._most} tokens of a text"

    def are_cut(self, examples: Sequence[Text]) -> list[bool]:
        whole = self._base.tokenizer.encode_batch([text.text for text in examples])
        return [len(pieces.ids) > self._most for pieces in whole]

    @property
    def _most(self) -> int:
        return min(_LONGEST, self._base.config.context)

    def _pieces(self, texts: Sequence[Text]) -> list[Pieces]:
        return self._base.tokenizer.encode_batch([text.text for text in texts], most=self._most)


def targets_of(texts: Sequence[Text], labels: Sequence[str], *, is_multi: bool) -> list[Any]:
    """What `Example` takes: a class's number, or of several labels 1 or 0 for each class. A class
    that is not known counts as the first: only a loss over held-out texts ever sees it."""
    codes = {label: code for code, label in enumerate(labels)}
    if is_multi:
        return [[float(label in text.labels) for label in labels] for text in texts]
    return [codes.get(text.labels[0], 0) if text.labels else 0 for text in texts]


def label_rows(
    scores: Sequence[Sequence[float]], labels: Sequence[str], *, is_multi: bool
) -> list[Labels]:
    """Scores of classes as answers, see `likely_classes`."""
    return [
        Labels(tuple(labels[code] for code, _ in row), tuple(likely for _, likely in row), is_multi)
        for row in likely_classes(scores, is_multi=is_multi)
    ]
