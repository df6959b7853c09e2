"""The task: two texts and their relation, a class or a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from homespun.core import DataError
from homespun.recipes.applications.contract import Application, Measured, Method
from homespun.recipes.applications.rows import Column, cell_text, label_text, one_writing

_MOST_CLASSES = 5


class TwoTexts(NamedTuple):
    """Attributes:
    first, second: the two.
    relation: the right one; None where it is not known. A float is how near they are, which
        `Pair.settle` decides.
    """

    first: str
    second: str
    relation: str | float | None = None


class Relation(NamedTuple):
    """Attributes:
    value: a class, or how near the two are.
    confidence: 0 … 1 of a class; None of a number.
    """

    value: str | float
    confidence: float | None = None


class Pair(Application[TwoTexts, Relation]):
    """Relations are numbers, and accuracy becomes correlation, where all of them are and one has a
    fraction, or where there are more than five different ones."""

    name = "pair"
    summary = "Two texts and their relation."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column(
            "first",
            ("premise", "sentence1", "text1", "question1", "text", "句子1", "前提"),
            "the first text",
        ),
        Column(
            "second",
            ("hypothesis", "sentence2", "text2", "question2", "句子2", "假设"),
            "the second text",
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("relation", ("label", "score", "similarity", "标签", "关系"), "their relation"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("overlap",)
    redrawn_as: ClassVar[str] = "first texts"

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[TwoTexts, Relation]]]:
        return {"overlap": _overlap, "encoder": _encoder}

    def default_method(self, *, has_base: bool) -> str:
        return "encoder" if has_base else "overlap"

    def example(self, values: Mapping[str, Any]) -> TwoTexts:
        first, second = cell_text(values["first"]), cell_text(values["second"])
        if "relation" not in values:
            return TwoTexts(first, second)
        return TwoTexts(first, second, label_text(values["relation"]))

    def settle(self, examples: list[TwoTexts]) -> list[TwoTexts]:
        numbers = [_number(example.relation) for example in examples]
        known = [number for number in numbers if number is not None]
        if len(known) < len(examples) or not known:
            odd = [str(e.relation) for e, n in zip(examples, numbers, strict=True) if n is None]
            # One score that is missing must not make classes of all the others.
            if known and all(map(_is_odd_number, odd)):
                raise DataError(
                    f"{len(odd):,} of the relations, which are numbers, are none",
                    got=odd[0],
                    remedy="take these rows out",
                )
            return examples
        if all(number.is_integer() for number in known) and len(set(known)) <= _MOST_CLASSES:
            other = one_writing(str(example.relation) for example in examples)
            names = (str(example.relation) for example in examples)
            return [
                e._replace(relation=other.get(name, name))
                for e, name in zip(examples, names, strict=True)
            ]
        return [e._replace(relation=n) for e, n in zip(examples, known, strict=True)]

    def key(self, example: TwoTexts) -> str:
        return "\t".join(sorted((example.first, example.second)))

    def texts_read(self, example: TwoTexts) -> Sequence[str]:
        return (example.first, example.second)

    def classes(self, example: TwoTexts) -> Sequence[str]:
        return (example.relation,) if isinstance(example.relation, str) else ()

    def class_alone(self, example: TwoTexts) -> str | None:
        return example.relation if isinstance(example.relation, str) else None

    def redrawn_with(self, example: TwoTexts) -> str:
        """Pairs of one first text hang together."""
        return example.first

    def asked(self, example: TwoTexts) -> str:
        return f"{example.first}\t{example.second}"

    def measure(
        self, examples: Sequence[TwoTexts], answers: Sequence[Relation], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import accuracy, common_confusion, label_counts

        if are_numbers(examples):
            return _correlated(examples, answers)
        gold = [str(example.relation) for example in examples]
        found = [str(answer.value) for answer in answers]
        counts = label_counts(gold, found)
        names, table = common_confusion(gold, found)
        right = accuracy(gold, found)
        return Measured(
            [right, counts.f1("macro")],
            classes=counts.table(),
            confusion=(names, table.tolist()),
            per_row=right.values().tolist(),
        )

    def shown(self, example: TwoTexts, answer: Relation) -> dict[str, Any]:
        if isinstance(answer.value, float):
            return {"relation": round(answer.value, 4)}
        told: dict[str, Any] = {"relation": answer.value}
        if answer.confidence is not None:
            told["confidence"] = round(answer.confidence, 4)
        return told

    def right(self, example: TwoTexts) -> dict[str, Any]:
        return {"relation": example.relation}

    def plain(self, example: TwoTexts, answer: Relation) -> str:
        return f"{answer.value:.3f}" if isinstance(answer.value, float) else answer.value


def are_numbers(examples: Sequence[TwoTexts]) -> bool:
    """Whether relations were found to be numbers."""
    return any(isinstance(example.relation, float) for example in examples)


def _number(value: object) -> float | None:
    """A finite number that a text writes."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_odd_number(text: str) -> bool:
    """Not a number, or one without end."""
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _correlated(examples: Sequence[TwoTexts], answers: Sequence[Relation]) -> Measured:
    """Pearson's correlation, as sums over pairs; Spearman's beside it."""
    import scipy.stats

    from homespun.evaluation.metrics import Statistics

    a_N = np.array([float(example.relation or 0.0) for example in examples])
    b_N = np.array([float(answer.value) for answer in answers])
    rows_NK = np.stack([a_N, b_N, a_N * b_N, a_N**2, b_N**2, np.ones_like(a_N)], axis=1)

    def pearson(sums_K: Any) -> Any:
        a, b, ab, aa, bb, n = (sums_K[..., at] for at in range(6))
        spread = np.sqrt(np.maximum(n * aa - a * a, 0) * np.maximum(n * bb - b * b, 0))
        return np.where(spread > 0, (n * ab - a * b) / np.maximum(spread, 1e-300), 0.0)

    ranked: Any = scipy.stats
    varies = min(len(set(a_N.tolist())), len(set(b_N.tolist()))) > 1
    rho = ranked.spearmanr(a_N, b_N).statistic if varies else 0.0
    statistics = Statistics("Pearson correlation", "kind:pairs", rows_NK, pearson)
    spread = max(1e-12, float(a_N.max() - a_N.min()))
    per_row = (1 - np.minimum(1.0, np.abs(a_N - b_N) / spread)).tolist()
    return Measured([statistics], extra={"Spearman correlation": float(rho)}, per_row=per_row)


def _overlap() -> Method[TwoTexts, Relation]:
    from homespun.recipes.applications.pair.overlap import Overlap

    return Overlap()


def _encoder() -> Method[TwoTexts, Relation]:
    from homespun.recipes.applications.pair.encoder import PairEncoder

    return PairEncoder()
