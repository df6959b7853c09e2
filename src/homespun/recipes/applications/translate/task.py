"""The tasks: a text to be read, and one or several right ones to be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from homespun.classic.units import is_chinese
from homespun.core import DataError
from homespun.recipes.applications.contract import Application, Measured, Method
from homespun.recipes.applications.rows import Column, cell_text, is_missing


class Pair(NamedTuple):
    """Attributes:
    source: the text that is read.
    targets: right ones to write, the first of which is learned; none where they are not known.
    """

    source: str
    targets: tuple[str, ...] = ()


class _Writing(Application[Pair, str]):
    """What both share."""

    takes_several: ClassVar[bool] = True

    def example(self, values: Mapping[str, Any]) -> Pair:
        source, gold = (values.get(column.name) for column in (self.inputs[0], self.gold[0]))
        read = _joined(source if isinstance(source, list) else [source])
        if not read:
            raise DataError("there is nothing to read", got=source, remedy="take the row out")
        if gold is None:
            return Pair(read)
        given = gold if isinstance(gold, list) else [gold]
        targets = tuple(cell_text(part).strip() for part in given if not is_missing(part))
        if not targets:
            raise DataError("there is nothing to write", got=gold, remedy="take the row out")
        return Pair(read, targets)

    def key(self, example: Pair) -> str:
        return example.source

    def texts_right(self, example: Pair) -> Sequence[str]:
        return example.targets

    def shown(self, example: Pair, answer: str) -> dict[str, Any]:
        return {self.gold[0].name: answer}

    def right(self, example: Pair) -> dict[str, Any]:
        return {self.gold[0].name: list(example.targets)}


def _joined(given: Sequence[Any]) -> str:
    """Sentences or words as one text: with spaces between them, but for Chinese."""
    parts = [cell_text(part).strip() for part in given if not is_missing(part)]
    return ("" if is_chinese(parts) else " ").join(parts)


class Translate(_Writing):
    """BLEU (Chinese character by character) and chrF, as sacrebleu has them, and BLEU of
    lower-cased tokens, as many published figures are."""

    name = "translate"
    summary = "Texts into another language."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column("source", ("src", "text", "from", "原文"), "the text to translate"),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("target", ("tgt", "translation", "to", "译文"), "the translation"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("memory",)

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Pair, str]]]:
        return {"memory": _memory, "transformer": _transformer, "t5": _t5}

    def default_method(self, *, has_base: bool) -> str:
        return "t5" if has_base else "transformer"

    def measure(
        self, examples: Sequence[Pair], answers: Sequence[str], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import bleu, chrf

        gold = [example.targets for example in examples]
        letters = chrf(answers, gold)
        right = [texts[0] for texts in gold]
        if is_chinese(right):
            measures, published = [bleu(answers, gold, tokenize="zh"), letters], ""
        else:
            # Published figures are often of lower-cased tokens, as scripts before sacrebleu counted
            # them; those of text that comes tokenised are of its own tokens.
            cut: Literal["none", "13a"] = "none" if are_tokenised(right) else "13a"
            lower = bleu(answers, gold, tokenize=cut, lowercase=True)
            measures = [bleu(answers, gold), letters, lower]
            published = f"; figures of lower-cased tokens compare with `case:lc|tok:{cut}`"
            if cut == "none":
                published += ", the tokens of the texts as they are"
        # BLEU of one sentence below four tokens is 0 however good it is: chrF judges rows.
        per_row = [
            1.0 if answer in texts else min(1.0, float(value) / 100)
            for answer, texts, value in zip(answers, gold, letters.values(), strict=True)
        ]
        note = f"The first BLEU is sacrebleu's, `{_short(measures[0].signature)}`{published}."
        return Measured(measures, notes=[note], per_row=per_row)


def are_tokenised(texts: Sequence[str]) -> bool:
    """Whether marks stand apart from words: before most marks at the ends of texts is a blank."""
    ends = [text[-2:] for text in texts if len(text) > 1 and text[-1] in ".?!"]
    return 2 * sum(end[0].isspace() for end in ends) > len(ends)


def _short(signature: str) -> str:
    return "|".join(part for part in signature.split("|") if not part.startswith("version:"))


class Summarise(_Writing):
    """ROUGE over words, and over characters of Chinese."""

    name = "summarise"
    summary = "Texts into short ones."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column(
            "text",
            ("source", "document", "article", "dialogue", "abstract", "正文", "原文"),
            "the text",
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("summary", ("target", "title", "tldr", "highlights", "摘要", "标题"), "the summary"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("lead", "rank")
    alike: ClassVar[tuple[str, ...]] = ("sentences",)

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Pair, str]]]:
        return {
            "lead": _lead,
            "rank": _rank,
            "extract": _extract,
            "transformer": _transformer,
            "t5": _t5,
        }

    def default_method(self, *, has_base: bool) -> str:
        return "t5" if has_base else "extract"

    def measure(
        self, examples: Sequence[Pair], answers: Sequence[str], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import rouge

        found = rouge(answers, [example.targets for example in examples])
        return Measured([found["L"], found["1"], found["2"]])


def _memory() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.baselines import Memory

    return Memory()


def _lead() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.baselines import Lead

    return Lead()


def _rank() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.baselines import Rank

    return Rank()


def _extract() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.extract import Extract

    return Extract()


def _transformer() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.transformer import TransformerMethod

    return TransformerMethod()


def _t5() -> Method[Pair, str]:
    from homespun.recipes.applications.translate.t5 import T5Method

    return T5Method()
