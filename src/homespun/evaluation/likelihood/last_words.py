"""Passages whose last word is to be told: LAMBADA (Paperno et al. 2016, arXiv 1606.06031)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from homespun.core import DataError, LanguageModel, perplexity_of
from homespun.evaluation.likelihood.readers import files_of, json_rows, spaced, text_of
from homespun.evaluation.likelihood.scoring import BROKEN, option_nats
from homespun.evaluation.metrics.statistics import Measurement, mean_statistics
from homespun.evaluation.metrics.uncertainty import wilson_interval

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class LastWord:
    """Attributes:
    context: the passage without its last word.
    word: that word, with the space before it.
    """

    context: str
    word: str


@dataclass(frozen=True)
class LastWordResult:
    """Attributes:
    accuracy: how often the model would write exactly the word; None where nobody could be asked.
    perplexity: of the word, given the passage.
    chance: how often a word of the passage, drawn at random, is it.
    """

    accuracy: Measurement | None
    perplexity: float
    chance: float


def read_lambada(path: Path) -> Iterator[LastWord]:
    """JSON lines with `text`, whose last word is asked for, as OpenAI published them; or with
    `context` and `continuation`, as the evaluation suite of llm-foundry keeps the same passages.

    Of a folder or an archive the files named after LAMBADA are read.

    Raises:
        DataError: there is no such file, or a row says nothing.
    """
    files = files_of(path, ".jsonl")
    named = [(name, text) for name, text in files if "lambada" in PurePosixPath(name).name.lower()]
    if not named and len(files) > 1:
        raise DataError(
            "no file is named after lambada", got=str(path), remedy="give the file itself"
        )
    for name, text in named or files:
        for row in json_rows(name, text):
            if "text" in row:
                context, _, word = text_of(name, row, "text").rstrip().rpartition(" ")
            else:
                context, word = text_of(name, row, "context"), text_of(name, row, "continuation")
            if not (context.strip() and word.strip()):
                raise DataError(
                    f"{name}: a passage has no last word", got=row, remedy="take the row out"
                )
            yield LastWord(context.rstrip(), spaced(word.strip()))


def score_last_words(
    model: LanguageModel,
    passages: Sequence[LastWord],
    *,
    written: Callable[[Sequence[LastWord]], Sequence[bool]] | None = None,
) -> LastWordResult:
    """Ask `model` for the last word of each passage.

    Args:
        model: says how likely the word is.
        written: whether the model, always taking its likeliest token, writes the word.

    Raises:
        DataError: there are no passages, or the model gives a number of nats that is not one.
    """
    if not passages:
        raise DataError("there are no passages to ask of", remedy="give a file that has some")
    nats = option_nats(model, [(passage.context, passage.word) for passage in passages])
    if not np.isfinite(nats).all():
        raise DataError("a language model must give finite nats", got=model.name, remedy=BROKEN)
    accuracy = None
    if written is not None:
        right = np.array(written(passages), dtype=np.float64)
        found = mean_statistics("accuracy", right, "greedy|exact")
        accuracy = found.measurement(wilson_interval(float(right.sum()), len(right)))
    chance = float(np.mean([_share_of_words(passage) for passage in passages]))
    return LastWordResult(accuracy, perplexity_of(float(nats.mean())), chance)


def _share_of_words(passage: LastWord) -> float:
    """Of the passage's words that are the one that is asked for."""
    words = [word.lower() for word in _WORD.findall(passage.context)]
    return words.count(passage.word.strip().lower()) / max(1, len(words))
