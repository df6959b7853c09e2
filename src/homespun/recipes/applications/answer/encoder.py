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
from homespun.recipes.applications.answer.task import Found, Question
from homespun.recipes.applications.answer.windows import Window, target_of, windows_of
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
_LONGEST = 30
"""Tokens of an answer at most."""


class ReaderMethod(EncoderLearning[Question, Found]):
    """BERT's way to read (Devlin et al. 2019, section 4.3), which may also find nothing."""

    name = "encoder"
    summary = "An encoder that points at the answer, or at none: wants --base MiniLM."
    options: ClassVar[Mapping[str, str]] = {
        "epochs": "",
        "rate": "",
        "tokens": "2048",
        "window": "320",
        "negatives": "0.25",
    }

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

        window = read_option(lesson.options, "window", int, low=32, high=base.config.context)
        save_base(lesson.folder, base, window=window)
        learned = LearnedReader.new(base, window, threshold=0.0)
        train, dev = self._asked(lesson)
        return with_examples(
            learned,
            ClassifyObjective(),
            learned.examples(train),
            learned.examples(dev),
            lesson,
            chosen_settings(base, lesson.options),
            context=base.config.context,
        )

    def settle(self, learned: Any, lesson: Lesson[Question]) -> None:
        _, dev = self._asked(lesson)
        learned.threshold = _best_threshold(learned, dev)
        write_json(lesson.folder / _THRESHOLD_FILE, {"threshold": learned.threshold})

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
        data = read_json(folder / _THRESHOLD_FILE)
        threshold = data.get("threshold") if isinstance(data, dict) else None
        if not isinstance(more.get("window"), int) or not isinstance(threshold, int | float):
            raise DataError(f"{folder} is damaged", remedy="learn the task again")
        learned = LearnedReader.new(base, more["window"], threshold=float(threshold))
        load_model(learned.model, folder)
        return learned


class LearnedReader:
    """Answers with a `SpanReader`.

    Args:
        model: on an encoder.
        base: its tokenizer and shape.
        window: tokens of a row.
        threshold: how much better than "none" an answer's score must be.
    """

    def __init__(self, model: SpanReader, base: Base, window: int, threshold: float) -> None:
        self.model, self.threshold = model, threshold
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
            _found(question, *best, threshold=self.threshold)
            for question, best in zip(examples, self.best_places(examples), strict=True)
        ]

    def best_places(self, questions: Sequence[Question]) -> list[tuple[int, int, float]]:
        """Of each question where its best answer stands in the passage, in code points, and how
        much higher its score is than that of "none" in the same window."""
        import torch

        from homespun.models.heads.span import best_span
        from homespun.training import Example, example_batch

        rows = [(n, window) for n, q in enumerate(questions) for window in self._windows(q)]
        found = [(0, 0, float("-inf")) for _ in questions]
        with torch.inference_mode():
            for numbers in in_batches(rows, lambda row: len(row[1].ids)):
                some = [rows[number] for number in numbers]
                batch = example_batch([Example(w.ids, None, w.types) for _, w in some])
                scores_BT2 = self.model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
                for (question, window), scores_T2 in zip(some, scores_BT2, strict=True):
                    i, j, score = best_span(scores_T2[: len(window.ids)], _LONGEST)
                    score -= float(scores_T2[0].sum())
                    if i and score > found[question][2]:
                        found[question] = window.offsets[i][0], window.offsets[j][1], score
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


def _place(question: Question) -> tuple[int, int]:
    """Where the first answer stands, or where it first does so; (0, 0) for none."""
    if question.start >= 0:
        return question.start, question.start + len(question.answers[0])
    for answer in question.answers:
        start = question.passage.find(answer)
        if start >= 0:
            return start, start + len(answer)
    return 0, 0


def _found(question: Question, start: int, stop: int, score: float, *, threshold: float) -> Found:
    """The answer where its score is above the threshold. Confidence is of the score alone: how much
    likelier the reader holds the place than that there is none."""
    confidence = 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))
    if score <= threshold:
        return Found("", -1, confidence)
    return Found(question.passage[start:stop], start, confidence)


def _best_threshold(learned: LearnedReader, questions: Sequence[Question]) -> float:
    """The one of highest F1 on held-out questions; nothing is refused where none wants to be."""
    from homespun.evaluation.metrics import answer_scores

    if all(question.answers for question in questions):
        return float("-1e9")
    language: Any = "zh" if is_chinese([q.passage for q in questions]) else "en"
    gold = [question.answers or ("",) for question in questions]
    places = learned.best_places(questions)
    texts = [q.passage[a:b] for q, (a, b, _) in zip(questions, places, strict=True)]
    answered = answer_scores(texts, gold, language=language).f1.values().tolist()
    refused = [float(not question.answers) for question in questions]
    scores = [score for *_, score in places]
    return best_threshold(scores, answered, refused)


def best_threshold(
    scores: Sequence[float], answered: Sequence[float], refused: Sequence[float]
) -> float:
    """The threshold of the highest sum: questions with a score above it count as answered, the
    others as refused. Of equally good ones the lowest; between two scores, the lower one.

    Args:
        scores: of each question's best place.
        answered, refused: what each question is worth either way.
    """
    order = sorted(range(len(scores)), key=lambda number: scores[number])
    total = sum(answered)
    best, threshold = total, -1e9
    at = 0
    while at < len(order):
        score = scores[order[at]]
        while at < len(order) and scores[order[at]] == score:
            total += refused[order[at]] - answered[order[at]]
            at += 1
        if total > best and math.isfinite(score):
            best, threshold = total, score
    return threshold
