"""The task: a text, and its class or classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from homespun.core import DataError
from homespun.recipes.applications.contract import Application, Measured, Method
from homespun.recipes.applications.rows import (
    Column,
    cell_text,
    is_missing,
    label_text,
    one_writing,
)


class Text(NamedTuple):
    """Attributes:
    text: to be classified.
    labels: right ones, sorted; none where they are not known, or where several may be right and
        none is.
    is_multi: any number of labels may be right.
    """

    text: str
    labels: tuple[str, ...] = ()
    is_multi: bool = False


class Labels(NamedTuple):
    """Attributes:
    labels: those that are held right, the likeliest first.
    confidence: of each, 0 … 1; None where the method has none.
    is_multi: any number of labels might have been.
    """

    labels: tuple[str, ...]
    confidence: tuple[float, ...] | None = None
    is_multi: bool = False


class Classify(Application[Text, Labels]):
    """A label that is a list in the file (JSON lines) makes the task one of several labels."""

    name = "classify"
    summary = "Texts into classes."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column(
            "text",
            ("sentence", "review", "content", "tweet", "comment", "文本", "评论"),
            "the text",
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column(
            "label", ("labels", "class", "category", "topic", "target", "标签", "类别"), "the class"
        ),
    )
    baselines: ClassVar[tuple[str, ...]] = ("majority", "bayes", "linear")
    takes_several: ClassVar[bool] = True

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Text, Labels]]]:
        return {
            "majority": _majority,
            "rules": _rules,
            "bayes": _bayes,
            "linear": _linear,
            "cnn": _cnn,
            "encoder": _encoder,
        }

    def default_method(self, *, has_base: bool) -> str:
        return "encoder" if has_base else "linear"

    def example(self, values: Mapping[str, Any]) -> Text:
        text = cell_text(values["text"])
        if "label" not in values:
            return Text(text)
        given = values["label"]
        if not isinstance(given, list):
            return Text(text, (label_text(given),))
        if len(given) > 2 and all(label in (0, 1) for label in given):
            raise DataError(
                "labels are the names of classes that are right",
                got=given,
                remedy="write those of the places that are 1",
            )
        if not all(isinstance(label, str | int) for label in given):
            raise DataError("labels are texts or whole numbers", got=given, remedy="mend the row")
        return Text(
            text,
            # [""] is what programs make of an empty cell that they part at a mark.
            tuple(sorted({label_text(label) for label in given if not is_missing(label)})),
            is_multi=True,
        )

    def settle(self, examples: list[Text]) -> list[Text]:
        is_multi = any(example.is_multi for example in examples)
        other = one_writing(label for example in examples for label in example.labels)
        return [
            example._replace(
                labels=tuple(sorted({other.get(label, label) for label in example.labels})),
                is_multi=is_multi,
            )
            for example in examples
        ]

    def key(self, example: Text) -> str:
        return example.text

    def classes(self, example: Text) -> Sequence[str]:
        return example.labels

    def class_alone(self, example: Text) -> str | None:
        return None if example.is_multi else example.labels[0]

    def measure(
        self, examples: Sequence[Text], answers: Sequence[Labels], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import (
            accuracy,
            common_confusion,
            label_counts,
            multi_label_counts,
            samples_f1,
        )

        if any(example.is_multi for example in examples):
            sets = [set(answer.labels) for answer in answers]
            counts = multi_label_counts([set(example.labels) for example in examples], sets)
            alone = samples_f1(counts).values()
            same = [set(e.labels) == found for e, found in zip(examples, sets, strict=True)]
            num_none = sum(not (e.labels or found) for e, found in zip(examples, sets, strict=True))
            return Measured(
                [samples_f1(counts), counts.f1("micro"), counts.f1("macro")],
                classes=counts.table(),
                notes=_note_of_none(num_none, len(examples)),
                # Two empty sets are alike, and their F1 is 0.
                per_row=[1.0 if right else float(v) for right, v in zip(same, alone, strict=True)],
            )
        gold = [example.labels[0] for example in examples]
        found = [answer.labels[0] for answer in answers]
        counts = label_counts(gold, found)
        names, table = common_confusion(gold, found)
        measures = [
            accuracy(gold, found),
            counts.f1("macro"),
            counts.f1("weighted"),
        ]
        return Measured(measures, classes=counts.table(), confusion=(names, table.tolist()))

    def shown(self, example: Text, answer: Labels) -> dict[str, Any]:
        told: dict[str, Any] = {"label": answer.labels[0] if answer.labels else None}
        if answer.is_multi:
            told = {"labels": list(answer.labels)}
        if answer.confidence is not None:
            told["confidence"] = [round(value, 4) for value in answer.confidence]
        return told

    def right(self, example: Text) -> dict[str, Any]:
        if example.is_multi:
            return {"labels": list(example.labels)}
        return {"label": example.labels[0] if example.labels else None}

    def plain(self, example: Text, answer: Labels) -> str:
        return ", ".join(answer.labels)


def _note_of_none(num: int, num_all: int) -> list[str]:
    """A sentence where samples F1, as the field counts it, says less of the answers than they do:
    of rows that rightly have no label."""
    if not num:
        return []
    return [
        f"{num:,} of the {num_all:,} rows have no label and were given none, which is right and "
        "counts 0 in samples F1; micro and macro F1 are of the labels there are."
    ]


def all_labels(examples: Sequence[Text]) -> list[str]:
    """The classes there are, sorted.

    Raises:
        DataError: there are fewer than two.
    """
    labels = sorted({label for example in examples for label in example.labels})
    if len(labels) < 2:
        raise DataError(
            "there must be two classes at least", got=labels, remedy="give rows of another class"
        )
    if len(labels) > 1000:
        raise DataError(
            "there are more than 1,000 classes",
            got=len(labels),
            remedy="say which column holds the class: --columns label=NAME",
        )
    return labels


def _majority() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.majority import Majority

    return Majority()


def _rules() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.rules import Rules

    return Rules()


def _bayes() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.linear import Bayes

    return Bayes()


def _linear() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.linear import Linear

    return Linear()


def _cnn() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.cnn import TextCnnMethod

    return TextCnnMethod()


def _encoder() -> Method[Text, Labels]:
    from homespun.recipes.applications.classify.encoder import EncoderMethod

    return EncoderMethod()
