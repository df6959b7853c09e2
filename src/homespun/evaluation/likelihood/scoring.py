"""Accuracy of a language model on questions with options.

A model that can score a continuation given its context (`ContinuationModel`) is asked for that.
Of any other `core.LanguageModel` the nats of context and option together are taken, less those of
the context, each a whole document with its end mark. Where options share their context that
changes nothing for sums; for nats a byte it adds log P(end | context) - log P(end | context,
option) to each option. Options without a context are whole documents for every model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError, LanguageModel
from homespun.evaluation.likelihood.questions import MultipleChoice
from homespun.evaluation.metrics.statistics import Measurement, Statistics, mean_statistics
from homespun.evaluation.metrics.uncertainty import wilson_interval

BROKEN = "train the model again: its weights are broken"
_AT_ONCE = 2048
"""Pairs a model is given together: it keeps the tokens of all of them, and an encoder does so once
for each token that is asked for."""
TIE = 1e-9
"""Options whose nats differ by less than this share of them are equal: sums round."""


@runtime_checkable
class ContinuationModel(Protocol):
    """A language model that scores many continuations at once, each given its context."""

    def score_continuations(
        self, contexts: Sequence[str], continuations: Sequence[str]
    ) -> NDArray[np.float64]:
        """Nats of each continuation; of a whole document where its context is ""."""
        ...


class GroupResult(NamedTuple):
    """Questions of one group: a set such as PIQA, a subject, a phenomenon.

    Attributes:
        name: of the group.
        summed, per_byte, chance: as of `ChoiceResult`.
    """

    name: str
    summed: Measurement
    per_byte: Measurement
    chance: float


@dataclass(frozen=True)
class ChoiceResult:
    """How often the right option was the likeliest.

    Attributes:
        summed: by the log-probability of the whole option.
        per_byte: by log-probability divided by UTF-8 bytes of the option.
        chance: what guessing gives, the mean of 1 / options.
        groups: each by itself, in order of appearance.
        summed_statistics, per_byte_statistics: question by question, to compare models with.
    """

    summed: Measurement
    per_byte: Measurement
    chance: float
    groups: tuple[GroupResult, ...]
    summed_statistics: Statistics
    per_byte_statistics: Statistics


def score_choices(model: LanguageModel, questions: Sequence[MultipleChoice]) -> ChoiceResult:
    """Ask `model` all questions; intervals are Wilson's.

    k equally likely options, the right one among them, count 1 / k: one half in a pair, and what
    guessing gives for a model that finds all alike.

    Raises:
        DataError: there are no questions, or the model gives a number of nats that is not one.
    """
    if not questions:
        raise DataError("there are no questions to ask", remedy="give a file that has some")
    pairs = [pair for question in questions for pair in question.pairs]
    nats = option_nats(model, pairs)
    if not np.isfinite(nats).all():
        raise DataError("a language model must give finite nats", got=model.name, remedy=BROKEN)
    sizes = np.array([len(option.encode("utf-8")) for _, option in pairs], dtype=np.float64)
    right = np.zeros((2, len(questions)))
    start = 0
    for number, question in enumerate(questions):
        stop = start + len(question.options)
        right[0, number] = credit(nats[start:stop], question.gold)
        right[1, number] = credit(nats[start:stop] / sizes[start:stop], question.gold)
        start = stop
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        members[question.group].append(number)
    summed, per_byte = (
        mean_statistics("accuracy", row, f"by:{by}|ties:shared", is_share=True)
        for row, by in zip(right, ("sum", "bytes"), strict=True)
    )
    return ChoiceResult(
        summed=_measured(summed),
        per_byte=_measured(per_byte),
        chance=_chance(questions),
        groups=tuple(
            GroupResult(
                group,
                _measured(_part(summed, numbers)),
                _measured(_part(per_byte, numbers)),
                _chance([questions[number] for number in numbers]),
            )
            for group, numbers in members.items()
        ),
        summed_statistics=summed,
        per_byte_statistics=per_byte,
    )


def _chance(questions: Sequence[MultipleChoice]) -> float:
    return float(np.mean([1 / len(question.options) for question in questions]))


def option_nats(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Nats of each option given its context; see the top of this file."""
    if isinstance(model, ContinuationModel):
        parts = [np.zeros(0)]
        for start in range(0, len(pairs), _AT_ONCE):
            contexts, options = zip(*pairs[start : start + _AT_ONCE], strict=True)
            parts.append(np.asarray(model.score_continuations(contexts, options), np.float64))
        return np.concatenate(parts)
    nats_of = {context: 0.0 for context, _ in pairs}
    for context in nats_of:
        if context:
            nats_of[context] = model.score([context]).nats
    return np.array(
        [model.score([context + option]).nats - nats_of[context] for context, option in pairs]
    )


def credit(nats_K: NDArray[np.float64], gold: int) -> float:
    """1 where the gold of K options costs least, 1 / k where k cost least alike, else 0."""
    least = nats_K.min()
    best_K = nats_K <= least + TIE * max(1.0, abs(least))
    return float(best_K[gold] / best_K.sum())


def _part(statistics: Statistics, numbers: Sequence[int]) -> Statistics:
    rows_NK = statistics.rows_NK[np.asarray(numbers)]
    return Statistics(statistics.name, statistics.signature, rows_NK, statistics.value_of)


def _measured(statistics: Statistics) -> Measurement:
    num_right = float(statistics.rows_NK[:, 0].sum())
    return statistics.measurement(wilson_interval(num_right, statistics.num))
