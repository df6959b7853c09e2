"""TextCNN over vectors that are learned along, from nothing or from those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.core import DataError, RunError, derive_seed
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.classify.encoder import label_rows, targets_of
from homespun.recipes.applications.classify.starts import Start, read_start
from homespun.recipes.applications.classify.task import Labels, Text, all_labels
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import (
    CHOSEN_BY,
    ONLY_WATCHED,
    STAGE,
    WEIGHTS_FILE,
    FitSettings,
    drop_states,
    fit,
    load_model,
    read_option,
    scored,
    with_examples,
)

if TYPE_CHECKING:
    from homespun.models.heads.text_cnn import TextCnn
    from homespun.training import Example

_FILE, _LONGEST = "cnn.json", 256
_UNKNOWN = 1


class TextCnnMethod(Method[Text, Labels]):
    """Kim's network over words of its own vocabulary; single characters of Chinese."""

    name = "cnn"
    takes_time = True
    held_out = CHOSEN_BY
    held_out_few = ONLY_WATCHED
    summary = "TextCNN: filters over three to five words, learned in a minute."
    options: ClassVar[Mapping[str, str]] = {
        "epochs": "12",
        "rate": "0.001",
        "width": "",
        "vectors": "",
        "static": "0",
    }

    def learn(self, lesson: Lesson[Text]) -> LearnedCnn:
        from homespun.classic.units import text_units
        from homespun.training import ClassifyObjective

        path = lesson.folder / _FILE
        if path.is_file() and (lesson.folder / WEIGHTS_FILE).is_file():
            drop_states(lesson.folder)
            return self.load(lesson.folder)  # a file of vectors is needed no more
        labels = all_labels([*lesson.train, *lesson.dev])
        counts: dict[str, int] = {}
        for example in lesson.train:
            for unit in text_units(example.text, punctuation=True):
                counts[unit] = counts.get(unit, 0) + 1
        start = read_start({**self.options, **lesson.options}, counts.keys())
        # What stands there once teaches nothing, but may have a vector.
        vocabulary = sorted(u for u, count in counts.items() if count > 1 or u in start.vectors)
        record = {
            "labels": labels,
            "is_multi": any(example.is_multi for example in lesson.train),
            "width": start.width,
            "vocabulary": vocabulary,
        }
        if start.name is not None:
            known = len(start.vectors)
            record["begun"] = {"file": start.name, "known": known, "is_static": start.is_static}
        _write_record(lesson.folder, record)
        learned = LearnedCnn.new(record, seed=lesson.seed)
        learned.begin_with(start)
        settings = FitSettings(
            epochs=read_option(lesson.options, "epochs", float, low=0.01, high=1000),
            batch_tokens=1536,
            learning_rate=read_option(lesson.options, "rate", float, low=1e-7, high=1.0),
        )
        begun = with_examples(
            learned,
            ClassifyObjective(),
            learned.examples(lesson.train),
            learned.examples(lesson.dev),
            lesson,
            settings,
            context=_LONGEST,
        )
        fit(begun, lesson)
        return learned

    def load(self, folder: Path) -> LearnedCnn:
        record = read_json(folder / _FILE)
        if not isinstance(record, dict) or not _is_whole(record):
            raise DataError(f"{folder / _FILE} is damaged", remedy="learn the task again")
        learned = LearnedCnn.new(record, seed=0)
        load_model(learned.model, folder)
        return learned


def _is_whole(record: Mapping[str, Any]) -> bool:
    lists = [record.get(name) for name in ("labels", "vocabulary")]
    are_texts = all(
        isinstance(some, list) and all(isinstance(t, str) for t in some) for some in lists
    )
    width = record.get("width")
    return are_texts and type(width) is int and width > 0 and "is_multi" in record


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Raises RunError where learning was begun with other vectors."""
    path = folder / _FILE
    if path.is_file() and (folder / STAGE).exists() and read_json(path) != record:
        raise RunError(
            f"{folder} was begun with other word vectors",
            remedy="name another folder with --out, or delete that one",
        )
    write_json(path, record)


class LearnedCnn:
    """Answers with a `TextCnn`; ids are 0 of padding, 1 of unknown words, then the vocabulary."""

    def __init__(self, model: TextCnn, record: Mapping[str, Any]) -> None:
        self.model = model
        self._labels, self._is_multi = list(record["labels"]), bool(record["is_multi"])
        self._ids = {unit: number for number, unit in enumerate(record["vocabulary"], _UNKNOWN + 1)}
        self._begun: Mapping[str, Any] | None = record.get("begun")

    @classmethod
    def new(cls, record: Mapping[str, Any], *, seed: int) -> LearnedCnn:
        import torch

        from homespun.models.heads.text_cnn import TextCnn

        model = TextCnn(
            len(record["vocabulary"]) + _UNKNOWN + 1,
            len(record["labels"]),
            width=record["width"],
            context=_LONGEST,
            is_multi=record["is_multi"],
        )
        model.begin(torch.Generator().manual_seed(derive_seed(seed, "weights")))
        return cls(model.eval(), record)

    def begin_with(self, start: Start) -> None:
        """Set the vectors of the words that have one; the others are as they were drawn."""
        import torch

        weight_VD = self.model.embedding.weight
        with torch.no_grad():
            for unit, vector_D in start.vectors.items():
                weight_VD[self._ids[unit]] = torch.from_numpy(vector_D.copy())
        weight_VD.requires_grad_(not start.is_static)

    @property
    def notes(self) -> list[str]:
        """What it began with, where that is a file."""
        if self._begun is None:
            return []
        name, known = self._begun["file"], self._begun["known"]
        kept = "stayed as they were" if self._begun["is_static"] else "were learned on"
        return [
            f"Begun with the word vectors of {name}, which has {known:,} of the {len(self._ids):,} "
            f"words; they {kept}."
        ]

    def examples(self, texts: Sequence[Text]) -> list[Example]:
        """For the training loop."""
        from homespun.classic.units import text_units
        from homespun.training import Example

        targets = targets_of(texts, self._labels, is_multi=self._is_multi)
        found = []
        for text, target in zip(texts, targets, strict=True):
            units = text_units(text.text, punctuation=True)[:_LONGEST] or [""]
            found.append(Example([self._ids.get(unit, _UNKNOWN) for unit in units], target))
        return found

    @property
    def most(self) -> str:
        return f"{_LONGEST} words of a text"

    def are_cut(self, examples: Sequence[Text]) -> list[bool]:
        from homespun.classic.units import text_units

        return [len(text_units(one.text, punctuation=True)) > _LONGEST for one in examples]

    def answer(self, examples: Sequence[Text]) -> list[Labels]:
        scores = scored(self.model, self.examples(examples))
        return label_rows(scores, self._labels, is_multi=self._is_multi)
