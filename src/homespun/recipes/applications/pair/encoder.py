"""Both texts through one encoder, side by side, so that each word sees the other text's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.core import DataError, derive_seed
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
from homespun.recipes.applications.pair.task import Relation, TwoTexts, are_numbers

if TYPE_CHECKING:
    from homespun.models.heads import Classifier
    from homespun.training import Example

_LONGEST = 256


class PairEncoder(EncoderLearning[TwoTexts, Relation]):
    """BERT's way with pairs (Devlin et al. 2019, section 4.1)."""

    name = "encoder"
    summary = "Both texts through an encoder: with --base MiniLM the best there is."
    options: ClassVar[Mapping[str, str]] = {"epochs": "", "rate": "", "tokens": "2048"}

    def texts(self, examples: Sequence[TwoTexts]) -> list[str]:
        return [text for example in examples for text in (example.first, example.second)]

    def begin(self, lesson: Lesson[TwoTexts], base: Base) -> Begun:
        from homespun.training import ClassifyObjective

        examples = [*lesson.train, *lesson.dev]
        record: dict[str, Any] = {"labels": [], "mean": 0.0, "scale": 1.0}
        if are_numbers(examples):
            values = [float(example.relation or 0.0) for example in lesson.train]
            record["mean"] = sum(values) / len(values)
            spread = sum((value - record["mean"]) ** 2 for value in values) / len(values)
            record["scale"] = max(spread, 1e-12) ** 0.5
        else:
            record["labels"] = sorted({str(example.relation) for example in examples})
            if len(record["labels"]) < 2:
                raise DataError(
                    "there must be two relations at least",
                    got=record["labels"],
                    remedy="give rows of another relation",
                )
        learned = LearnedPairs.new(base, record, seed=lesson.seed)
        save_base(lesson.folder, base, **record)
        return with_examples(
            learned,
            ClassifyObjective(),
            learned.examples(lesson.train),
            learned.examples(lesson.dev),
            lesson,
            chosen_settings(base, lesson.options),
            context=base.config.context,
        )

    def load(self, folder: Path) -> LearnedPairs:
        base, record = load_base(folder)
        if not {"labels", "mean", "scale"} <= record.keys():
            raise DataError(f"{folder} does not say its relations", remedy="learn the task again")
        learned = LearnedPairs.new(base, record, seed=0)
        load_model(learned.model, folder)
        return learned


class LearnedPairs:
    """Answers with a `Classifier`, which says numbers in units of the training set's spread."""

    def __init__(self, model: Classifier, base: Base, record: Mapping[str, Any]) -> None:
        self.model = model
        self._base, self._labels = base, [str(label) for label in record["labels"]]
        self._mean, self._scale = float(record["mean"]), float(record["scale"])

    @classmethod
    def new(cls, base: Base, record: Mapping[str, Any], *, seed: int) -> LearnedPairs:
        import torch

        from homespun.models.heads import Classifier

        labels = record["labels"]
        model = Classifier(base.encoder, len(labels) or 1, kind="one" if labels else "number")
        model.begin(torch.Generator().manual_seed(derive_seed(seed, "head")))
        return cls(model.eval(), base, record)

    def examples(self, pairs: Sequence[TwoTexts]) -> list[Example]:
        """For the training loop."""
        from homespun.training import Example

        codes = {label: code for code, label in enumerate(self._labels)}
        found = []
        for pair in pairs:
            pieces = self._base.tokenizer.encode_pair(pair.first, pair.second, most=self._most)
            target: Any = codes.get(str(pair.relation), 0)
            if not self._labels:
                target = (float(pair.relation or 0.0) - self._mean) / self._scale
            found.append(Example(pieces.ids, target, pieces.types))
        return found

    @property
    def most(self) -> str:
        return f"{self._most} tokens of both texts together"

    def are_cut(self, examples: Sequence[TwoTexts]) -> list[bool]:
        encode = self._base.tokenizer.encode_pair
        return [len(encode(pair.first, pair.second).ids) > self._most for pair in examples]

    @property
    def _most(self) -> int:
        return min(_LONGEST, self._base.config.context)

    def answer(self, examples: Sequence[TwoTexts]) -> list[Relation]:
        scores = scored(self.model, self.examples(examples))
        if not self._labels:
            return [Relation(row[0] * self._scale + self._mean) for row in scores]
        return [
            Relation(self._labels[code], likely)
            for ((code, likely),) in likely_classes(scores, is_multi=False)
        ]
