"""A reader: an encoder that points at the first and the last word of an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from homespun.classic.units import is_chinese
from homespun.core import DataError, derive_seed
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.answer.several import (
    Place,
    best_threshold,
    confidence_of,
    surest,
    threshold_for,
    thresholds_for_several,
)
from homespun.recipes.applications.answer.task import Found, Question
from homespun.recipes.applications.answer.windows import (
    Window,
    most_asked,
    target_of,
    windows_of,
)
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import (
    Base,
    Begun,
    EncoderLearning,
    chosen_settings,
    in_batches,
    load_base,
    load_model,
    read_option,
    save_base,
    with_examples,
)

if TYPE_CHECKING:
    from homespun.models.heads import SpanReader
    from homespun.training import Example

_THRESHOLD_FILE = "threshold.json"
_NEVER = -1e9
"""Threshold below every score."""
_WINDOW = 320
"""Tokens of a question with a part of its passage, where the encoder reads as many."""
_LONGEST, _MOST_ANSWERS = 30, 99
"""Tokens of an answer at most: 30, as is usual for SQuAD, or where answers are longer so many that
this per cent of those learned from have no more. Of Chinese a character is a token."""


class ReaderMethod(EncoderLearning[Question, Found]):
    """BERT's way to read (Devlin et al. 2019, section 4.3), which may also find nothing."""

    name = "encoder"
    summary = "An encoder that points at the answer, or at none: wants --base MiniLM."
    options: ClassVar[Mapping[str, str]] = {
        "epochs": "",
        "rate": "",
        "tokens": "2048",
        "window": "",
        "negatives": "0.25",
    }

    held_out = (
        "by which were chosen the step whose weights are kept and how sure it must be to answer"
    )
    held_out_few = "too few to choose weights by; how sure it must be to answer was chosen by them"
    fresh: ClassVar[dict[str, int]] = {
        "width": 192,
        "num_layers": 3,
        "context": 512,
        "num_types": 3,
    }

    def texts(self, examples: Sequence[Question]) -> list[str]:
        return [text for example in examples for text in (example.question, example.passage)]

    def begin(self, lesson: Lesson[Question], base: Base) -> Begun:
        from homespun.training import ClassifyObjective

        window = min(_WINDOW, base.config.context)
        if lesson.options["window"]:
            window = read_option(lesson.options, "window", int, low=32, high=base.config.context)
        train, dev = self._asked(lesson)
        # Until one is chosen; where every question has its answer none is refused.
        threshold = _NEVER if all(question.answers for question in dev) else 0.0
        learned = LearnedReader.new(base, window, threshold=threshold)
        examples = learned.examples(train)
        learned.longest = longest_answer(examples)
        save_base(lesson.folder, base, window=window, longest_answer=learned.longest)
        begun = with_examples(
            learned,
            ClassifyObjective(),
            examples,
            learned.examples(dev),
            lesson,
            chosen_settings(base, lesson.options),
            context=base.config.context,
        )
        return begun._replace(dev=dev)

    def settle(self, learned: Any, lesson: Lesson[Question]) -> None:
        path = lesson.folder / _THRESHOLD_FILE
        if not path.is_file():
            _, dev = self._asked(lesson)
            among = thresholds_for_several(learned, dev, [*lesson.train, *lesson.dev])
            told = {"threshold": _best_threshold(learned, dev), "among": among}
            write_json(path, told)
        learned.threshold, learned.thresholds = _read_thresholds(path)

    def _asked(self, lesson: Lesson[Question]) -> tuple[list[Question], list[Question]]:
        """Questions to learn from and to choose by. Where every one has its answer, some are asked
        of another passage as well: else nothing would teach the reader to find none."""
        train, dev = list(lesson.train), list(lesson.dev)
        share = read_option(lesson.options, "negatives", float, low=0.0, high=1.0)
        if share and all(question.answers for question in train):
            train += unanswerable(train, share=share, seed=derive_seed(lesson.seed, "negatives"))
            dev += unanswerable(dev, share=share, seed=derive_seed(lesson.seed, "negatives", 1))
        return train, dev

    def load(self, folder: Path) -> LearnedReader:
        base, more = load_base(folder)
        threshold, several = _read_thresholds(folder / _THRESHOLD_FILE)
        longest = more.get("longest_answer", _LONGEST)  # not told of before
        if type(more.get("window")) is not int or type(longest) is not int or longest < 1:
            raise DataError(f"{folder} is damaged", remedy="learn the task again")
        learned = LearnedReader.new(base, more["window"], threshold=threshold)
        learned.thresholds, learned.longest = several, longest
        load_model(learned.model, folder)
        return learned


class LearnedReader:
    """Answers with a `SpanReader`.

    Args:
        model: on an encoder.
        base: its tokenizer and shape.
        window: tokens of a row.
        threshold: how much better than "none" an answer's score must be.

    Attributes:
        thresholds: the same of the best of several passages, by their number.
        longest: tokens of an answer at most.
    """

    def __init__(self, model: SpanReader, base: Base, window: int, threshold: float) -> None:
        self.model, self.threshold = model, threshold
        self.thresholds: dict[int, float] = {}
        self.longest = _LONGEST
        self._base, self._window = base, window

    @classmethod
    def new(cls, base: Base, window: int, *, threshold: float) -> LearnedReader:
        from homespun.models.heads import SpanReader

        model = SpanReader(base.encoder)
        model.begin()
        return cls(model.eval(), base, window, threshold)

    def examples(self, questions: Sequence[Question]) -> list[Example]:
        """For the training loop: each window with the first place of the first answer that stands
        in the passage."""
        from homespun.training import Example

        found = []
        for question in questions:
            start, stop = _place(question)
            for window in self._windows(question):
                target = target_of(window, start, stop) if stop else (0, 0)
                found.append(Example(window.ids, list(target), window.types))
        return found

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        return [
            _found(question, best, threshold=self.threshold)
            for question, best in zip(examples, self.best_places(examples), strict=True)
        ]

    @property
    def most(self) -> str:
        return f"{most_asked(self._window)} tokens of a question"

    def are_cut(self, examples: Sequence[Question]) -> list[bool]:
        """Of long questions the beginning is read; passages are read whole, in windows."""
        whole = self._base.tokenizer.encode_batch([one.question for one in examples])
        return [len(pieces.ids) > most_asked(self._window) for pieces in whole]

    def answer_from(
        self, question: str, passages: Sequence[str], weights: Sequence[float]
    ) -> tuple[int, Found]:
        """The surest answer from several passages, and in which one it stands. It must be the surer
        the more passages there are, see `several`.

        Args:
            question: to all of them.
            passages: one at least.
            weights: of each, above 0: confidence counts times as much.
        """
        asked = [Question(question, passage) for passage in passages]
        places = self.best_places(asked)
        number = surest(places, weights)
        threshold = threshold_for(self.thresholds, len(passages), usual=self.threshold)
        return number, _found(asked[number], places[number], threshold=threshold)

    def best_places(self, questions: Sequence[Question]) -> list[Place]:
        """Of each question where its best answer stands in the passage, and how much higher its
        score is than that of "none" in the same window."""
        import torch

        from homespun.models import device_of
        from homespun.models.heads.span import best_span
        from homespun.training import Example, example_batch

        rows = [(n, window) for n, q in enumerate(questions) for window in self._windows(q)]
        found = [Place(0, 0, float("-inf")) for _ in questions]
        with torch.inference_mode():
            for numbers in in_batches(rows, lambda row: len(row[1].ids)):
                some = [rows[number] for number in numbers]
                batch = example_batch([Example(w.ids, None, w.types) for _, w in some])
                batch = batch.to(device_of(self.model))
                # Small sums, many of them, are the processor's.
                scores_BT2 = self.model(batch.ids_BT, batch.is_token_BT, batch.types_BT).cpu()
                for (question, window), scores_T2 in zip(some, scores_BT2, strict=True):
                    i, j, score = best_span(scores_T2[: len(window.ids)], self.longest)
                    score -= float(scores_T2[0].sum())
                    if i and score > found[question].score:
                        found[question] = Place(window.offsets[i][0], window.offsets[j][1], score)
        return found

    def _windows(self, question: Question) -> list[Window]:
        num_types = getattr(self._base.config, "num_types", 2)
        return list(
            windows_of(question, self._base.tokenizer, most=self._window, num_types=num_types)
        )


def unanswerable(questions: Sequence[Question], *, share: float, seed: int) -> list[Question]:
    """A share of the questions, each asked of another's passage in which no answer of it stands."""
    draw = np.random.Generator(np.random.PCG64(seed))
    made = []
    for number in sorted(draw.permutation(len(questions))[: round(share * len(questions))]):
        asked = questions[int(number)]
        for other in draw.integers(0, len(questions), 8):
            passage = questions[int(other)].passage
            if passage != asked.passage and not any(a in passage for a in asked.answers):
                made.append(Question(asked.question, passage))
                break
    return made


def longest_answer(examples: Sequence[Example]) -> int:
    """Tokens of an answer at most, by the answers learned from: those of nearly all of them, and
    `_LONGEST` at least.

    Args:
        examples: with the places of first and last token as targets, (0, 0) of none.
    """
    lengths = [last - first + 1 for first, last in (one.target for one in examples) if last]
    if not lengths:
        return _LONGEST
    return max(_LONGEST, math.ceil(float(np.percentile(lengths, _MOST_ANSWERS))))


def _place(question: Question) -> tuple[int, int]:
    """Where the first answer stands, or where it first does so; (0, 0) for none."""
    if question.start >= 0:
        return question.start, question.start + len(question.answers[0])
    for answer in question.answers:
        start = question.passage.find(answer)
        if start >= 0:
            return start, start + len(answer)
    return 0, 0


def _found(question: Question, place: Place, *, threshold: float) -> Found:
    """The answer where its score is above the threshold. Confidence is of the score alone."""
    confidence = confidence_of(place.score)
    if place.score <= threshold:
        return Found("", -1, confidence)
    return Found(question.passage[place.start : place.stop], place.start, confidence)


def _read_thresholds(path: Path) -> tuple[float, dict[int, float]]:
    """Of one passage and of several; none of several in what an earlier version left. Raises
    DataError where it is damaged."""
    data = read_json(path)
    try:
        several = {int(number): float(value) for number, value in data.get("among", {}).items()}
        return float(data["threshold"]), several
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged", remedy="learn the task again") from error


def _best_threshold(learned: LearnedReader, questions: Sequence[Question]) -> float:
    """The one of highest F1 on held-out questions; nothing is refused where none wants to be."""
    from homespun.evaluation.metrics import answer_scores

    if all(question.answers for question in questions):
        return _NEVER
    language: Any = "zh" if is_chinese([q.passage for q in questions]) else "en"
    gold = [question.answers or ("",) for question in questions]
    places = learned.best_places(questions)
    texts = [q.passage[a:b] for q, (a, b, _) in zip(questions, places, strict=True)]
    answered = answer_scores(texts, gold, language=language).f1.values().tolist()
    refused = [float(not question.answers) for question in questions]
    scores = [score for *_, score in places]
    return best_threshold(scores, answered, refused)
