"""The task: a question, a passage, and what of the passage answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from homespun.classic.units import is_chinese, one_line
from homespun.core import DataError
from homespun.recipes.applications.contract import Application, Measured, Method
from homespun.recipes.applications.rows import Column, cell_text, is_missing

_UNKNOWN, _UNKNOWN_CHINESE = "I don't know", "不知道"


class Question(NamedTuple):
    """Attributes:
    question: what is asked.
    passage: where the answer may stand.
    answers: right ones, parts of the passage; none where it says nothing, or where they are not
        known.
    start: where the first of them stands, in code points; -1 where that is not said.
    """

    question: str
    passage: str
    answers: tuple[str, ...] = ()
    start: int = -1


class Found(NamedTuple):
    """Attributes:
    text: the answer; "" where the passage is held not to have one.
    start: where in the passage it stands, in code points; -1 for none, and for an answer from
        elsewhere, which the passage is no source of.
    confidence: 0 … 1 that there is one.
    """

    text: str
    start: int
    confidence: float


class Answer(Application[Question, Found]):
    """Exact match and F1 as SQuAD counts them, and CMRC 2018 in Chinese."""

    name = "answer"
    summary = "Questions about a passage."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column("question", ("query", "问题"), "the question"),
        Column(
            "passage", ("context", "paragraph", "document", "text", "正文", "段落"), "the passage"
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("answers", ("answer", "答案"), "the answer; empty or [] for none", True),
    )
    baselines: ClassVar[tuple[str, ...]] = ("nearest", "overlap")
    takes_several: ClassVar[bool] = True
    redrawn_as: ClassVar[str] = "passages"

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Question, Found]]]:
        return {"nearest": _nearest, "overlap": _overlap, "encoder": _encoder}

    def default_method(self, *, has_base: bool) -> str:
        return "encoder"

    def example(self, values: Mapping[str, Any]) -> Question:
        question, passage = cell_text(values["question"]).strip(), cell_text(values["passage"])
        if "answers" not in values:
            return Question(question, passage)
        listed, starts = _listed(values["answers"])
        answers = tuple(
            dict.fromkeys(cell_text(part).strip() for part in listed if not is_missing(part))
        )
        if answers and not any(answer in passage for answer in answers):
            raise DataError(
                "no answer stands in the passage",
                got=answers[0],
                remedy="answers must be parts of the passage, letter by letter",
            )
        start = starts[0] if starts and isinstance(starts[0], int) else -1
        stands = start >= 0 and bool(answers) and passage.startswith(answers[0], start)
        return Question(question, passage, answers, start if stands else -1)

    def key(self, example: Question) -> str:
        return example.passage

    def asked_whole(self, example: Question) -> str:
        return f"{example.question}\n{example.passage}"

    def texts_read(self, example: Question) -> Sequence[str]:
        return (example.passage,)

    def asked(self, example: Question) -> str:
        return example.question

    def measure(
        self, examples: Sequence[Question], answers: Sequence[Found], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import answer_scores

        language: Any = "zh" if is_chinese([e.passage for e in examples]) else "en"
        gold = [example.answers or ("",) for example in examples]
        scores = answer_scores([answer.text for answer in answers], gold, language=language)
        has = [number for number, example in enumerate(examples) if example.answers]
        none = [number for number, example in enumerate(examples) if not example.answers]
        extra: dict[str, float] = {}
        notes = []
        for names, numbers in (("answerable", has), ("unanswerable", none)):
            if numbers:
                some = scores.f1.values()[numbers]
                extra[f"F1 of {names}"] = float(some.mean())
        wrongly = sum(not answers[number].text for number in has) / max(1, len(has))
        if has:
            extra["answerable refused"] = wrongly
        if none:
            refused = sum(not answers[number].text for number in none) / len(none)
            extra["unanswerable refused"] = refused
            notes.append(
                f"Of {len(none):,} questions that the passage does not answer {refused:.0%} are "
                f"refused, of {len(has):,} that it does {wrongly:.0%}."
            )
        elif wrongly:
            notes.append(
                f"Of {len(has):,} questions, all of which their passage answers, {wrongly:.0%} are "
                "refused."
            )
        # An empty answer to a question without one is right: its F1 is that of two empty texts.
        statistics = [scores.f1, scores.exact_match]
        per_row = scores.f1.values().tolist()
        return Measured(statistics, notes=notes, extra=extra, per_row=per_row)

    def shown(self, example: Question, answer: Found) -> dict[str, Any]:
        told: dict[str, Any] = {
            "answer": answer.text or None,
            "confidence": round(answer.confidence, 4),
        }
        if answer.text and answer.start >= 0:
            told["start"] = answer.start
            told["passage"] = example.passage
        return told

    def right(self, example: Question) -> dict[str, Any]:
        return {"answers": list(example.answers)}

    def plain(self, example: Question, answer: Found) -> str:
        return one_line(answer.text) or unknown(example.question)


def unknown(question: str) -> str:
    """What is said where there is no answer, in the language of the question."""
    return _UNKNOWN_CHINESE if is_chinese([question]) else _UNKNOWN


def _listed(given: Any) -> tuple[list[Any], list[Any]]:
    """What is told of answers as texts and where they stand, of which there may be none or fewer.
    Raises DataError where one has no text."""
    starts: Any = []
    if isinstance(given, dict):  # as the Hugging Face form of SQuAD has them
        _check_text(given)
        given, starts = given["text"], given.get("answer_start", [])
    elif isinstance(given, list) and all(isinstance(one, dict) for one in given):
        for one in given:
            _check_text(one)
        starts = [one.get("answer_start", -1) for one in given]  # as SQuAD itself does
        given = [one["text"] for one in given]
    if is_missing(given) or given == "[]":
        given = []
    both = [part if isinstance(part, list) else [part] for part in (given, starts)]
    return both[0], both[1]


def _check_text(answer: Mapping[str, Any]) -> None:
    if "text" not in answer:
        raise DataError(
            "an answer has no text",
            got=", ".join(map(str, answer)) or "nothing",
            remedy='write {"text": …, "answer_start": …}, and [] where there is none',
        )


def _nearest() -> Method[Question, Found]:
    from homespun.recipes.applications.answer.overlap import Nearest

    return Nearest()


def _overlap() -> Method[Question, Found]:
    from homespun.recipes.applications.answer.overlap import Overlap

    return Overlap()


def _encoder() -> Method[Question, Found]:
    from homespun.recipes.applications.answer.encoder import ReaderMethod

    return ReaderMethod()
