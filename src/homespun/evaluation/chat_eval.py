"""How well a chat model answers: the loss of true answers, and its own beside a simple baseline.

The baseline knows no language: it gives the answer of the training question nearest by TF-IDF. A
model that does worse on unseen questions has learnt less than a search would give.
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from homespun.classic import TfidfIndex
from homespun.core import (
    Conversation,
    Generator,
    Message,
    SamplingSettings,
    Tokenizer,
)
from homespun.evaluation.bits_per_byte import ScoredDecoder, score_sequences
from homespun.evaluation.intervals import bootstrap_ratio
from homespun.evaluation.metrics.rouge import RougeScorer
from homespun.evaluation.together import continue_each

MAX_TRAINING_QUESTIONS = 50_000
# Categories of questions about the model itself begin so.
IDENTITY = "identity"
_GROUP = 32


@dataclass(frozen=True, slots=True)
class Question:
    """The last exchange of a conversation: what is asked, in what context, and its reference."""

    prompt: tuple[Message, ...]
    text: str
    reference: str
    category: str

    @property
    def asked(self) -> str:
        """All the user has said so far: what a search has to go by, as the model has."""
        return all_asked(self.prompt)


@dataclass(frozen=True, slots=True)
class AnswerLoss:
    """Nats of true answers, their stop tokens included.

    Attributes:
        nats: of all answers.
        num_targets: tokens predicted.
        num_bytes: UTF-8 bytes of the answers.
        num_conversations: scored before the deadline.
    """

    nats: float
    num_targets: int
    num_bytes: int
    num_conversations: int


def all_asked(messages: Sequence[Message]) -> str:
    """The user's turns, one a line."""
    return "\n".join(message.content for message in messages if message.role == "user")


def normal_form(text: str) -> str:
    """`text` without what does not make another question: case, spacing, marks that end a line."""
    lines = unicodedata.normalize("NFKC", text).casefold().splitlines()
    return " ".join(" ".join(line.split()).rstrip(" ?.!。") for line in lines)


def question_of(conversation: Conversation) -> Question | None:
    """The last assistant message with all before it; None where nothing was asked."""
    messages = conversation.messages
    for at in range(len(messages) - 1, 0, -1):
        if messages[at].role == "assistant" and messages[at - 1].role == "user":
            return Question(
                prompt=messages[:at],
                text=messages[at - 1].content,
                reference=messages[at].content,
                category=conversation.category,
            )
    return None


def answer_loss(
    model: ScoredDecoder,
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    *,
    deadline: float | None = None,
) -> AnswerLoss:
    """Loss of the assistant's tokens given all before them, in the model's own precision.

    Conversations longer than the context are read in windows, as documents are. Call it within
    `evaluating`. The first group of conversations is scored whatever the deadline.
    """
    nats = 0.0
    num_targets = num_bytes = num_scored = 0
    for start in range(0, len(conversations), _GROUP):
        if start and deadline is not None and time.monotonic() > deadline:
            break
        group = conversations[start : start + _GROUP]
        num_scored += len(group)
        encoded = [tokenizer.encode_chat(conversation.messages) for conversation in group]
        counted = [np.array(chat.is_target, dtype=np.bool_) for chat in encoded]
        usable = [number for number, mask in enumerate(counted) if mask[1:].any()]
        nats += float(
            score_sequences(
                model,
                [np.array(encoded[number].ids, dtype=np.int64) for number in usable],
                counted=[counted[number] for number in usable],
            ).sum()
        )
        num_targets += sum(int(counted[number][1:].sum()) for number in usable)
        num_bytes += sum(
            len(message.content.encode("utf-8"))
            for number in usable
            for message in group[number].messages
            if message.role == "assistant"
        )
    return AnswerLoss(nats, num_targets, num_bytes, num_scored)


class RougeL:
    """ROUGE-L F-measure over words and single Chinese characters (Lin 2004; rouge-score)."""

    def __init__(self) -> None:
        self._scorer = RougeScorer(("L",))

    def __call__(self, reference: str, answer: str) -> float:
        """0 … 1; 1 where the units are the same in the same order."""
        return self._scorer.score(reference, answer)["L"]


class NearestQuestion:
    """Answers with the reference of the most similar training question.

    It goes by all user turns up to the answer, as the model does, so that "And a set?" is looked
    for together with what was asked before.

    Args:
        conversations: training conversations, read once; every exchange in them is a question.
            Beyond 50,000 an evenly spread part of them is used for answers, all of them for
            `has_seen`.
    """

    def __init__(self, conversations: Iterable[Conversation]) -> None:
        pairs = [
            (all_asked(conversation.messages[:at]), conversation.messages[at].content)
            for conversation in conversations
            for at in range(1, len(conversation.messages))
            if conversation.messages[at].role == "assistant"
            and conversation.messages[at - 1].role == "user"
        ]
        self._questions = {normal_form(question) for question, _ in pairs}
        step = max(1, math.ceil(len(pairs) / MAX_TRAINING_QUESTIONS))
        pairs = pairs[::step]
        self._answers = [answer for _, answer in pairs]
        self._index = TfidfIndex([question for question, _ in pairs])

    def answer(self, asked: str) -> str:
        """`asked`: all user turns, see `all_asked`."""
        best, _ = self._index.nearest(asked)
        return self._answers[best] if best >= 0 else ""

    def has_seen(self, asked: str) -> bool:
        return normal_form(asked) in self._questions


def evaluate_chat(
    generator: Generator,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    nearest: NearestQuestion,
    *,
    settings: SamplingSettings,
    deadline: float | None = None,
    num_examples: int = 12,
) -> dict[str, Any]:
    """Answer `questions` and compare with the references; the "chat" entry of eval.json but loss.

    Args:
        generator, tokenizer: of the chat model.
        questions: unseen ones, in the order in which they are asked while there is time.
        nearest: the baseline.
        settings: of the answers; temperature 0 for numbers that repeat.
        deadline: time.monotonic() after which no further question is asked; one always is.
        num_examples: how many answers to keep as text, spread over the categories.

    Returns:
        Means over all questions but those about the model itself ("identity"), whose few fixed
        answers are learnt by heart; these have means of their own. Where there are no others, the
        means are theirs and `only_identity` says so.
    """
    rouge = RougeL()
    rows: list[dict[str, Any]] = []
    num_too_long = 0
    prompts = [
        tokenizer.encode_chat(question.prompt, add_generation_prompt=True).ids
        for question in questions
    ]
    completions = continue_each(generator, prompts, settings, deadline=deadline)
    for question, completion in zip(questions, completions, strict=False):
        if completion is None:
            num_too_long += 1
            continue
        baseline = nearest.answer(question.asked)
        rows.append(
            {
                "question": question.text,
                "answer": completion.text.strip(),
                "reference": question.reference,
                "nearest": baseline,
                "category": question.category,
                "rouge_l": rouge(question.reference, completion.text),
                "rouge_l_nearest_question": rouge(question.reference, baseline),
                "exact": normal_form(completion.text) == normal_form(question.reference),
                "exact_nearest": normal_form(baseline) == normal_form(question.reference),
                "finished": completion.finish_reason == "stop",
                "seen": nearest.has_seen(question.asked),
            }
        )
    by_category: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_category[row["category"] or "other"].append(row)
    identity = [row for row in rows if row["category"].startswith(IDENTITY)]
    others = [row for row in rows if not row["category"].startswith(IDENTITY)]
    judged = others or identity
    return {
        **_means(judged),
        **_intervals(judged),
        "identity": _means(identity),
        "only_identity": not others and bool(identity),
        "num_too_long": num_too_long,
        "examples": _examples(by_category, num_examples),
        "by_category": {name: _means(group) for name, group in sorted(by_category.items())},
    }


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def mean(key: str) -> float:
        return sum(float(row[key]) for row in rows) / len(rows) if rows else 0.0

    return {
        "rouge_l": mean("rouge_l"),
        "rouge_l_nearest_question": mean("rouge_l_nearest_question"),
        "exact_answers": mean("exact"),
        "exact_answers_nearest_question": mean("exact_nearest"),
        "finished_answers": mean("finished"),
        "seen_questions": mean("seen"),
        "num_questions": len(rows),
    }


def _intervals(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the mean, and of the mean difference to the search on the same questions.

    The questions are redrawn for both at once: what makes a question hard makes it hard for both,
    so the difference is known better than either mean. Questions about one function or passage are
    taken as independent, which they are not quite: the intervals are somewhat too narrow.
    """
    own = np.array([row["rouge_l"] for row in rows], dtype=np.float64)
    nearest = np.array([row["rouge_l_nearest_question"] for row in rows], dtype=np.float64)
    ones = np.ones(len(rows))
    interval = bootstrap_ratio(own, ones, seed=0)
    paired = bootstrap_ratio(own - nearest, ones, seed=0)
    return {
        "interval": None if interval is None else list(interval),
        "difference": float((own - nearest).mean()) if rows else 0.0,
        "difference_interval": None if paired is None else list(paired),
    }


def _examples(
    by_category: dict[str, list[dict[str, Any]]], num_examples: int
) -> list[dict[str, Any]]:
    """The first of each category, then the second of each, and so on: not the best ones."""
    depth = max(map(len, by_category.values()), default=0)
    turns = [group[at] for at in range(depth) for group in by_category.values() if at < len(group)]
    keys = ("question", "answer", "reference", "nearest", "category", "rouge_l")
    return [{key: row[key] for key in keys} for row in turns[:num_examples]]
