"""Answers to questions about a text: exact match and F1, in English and in Chinese.

English is normalised and counted as in SQuAD 1.1 (Rajpurkar et al. 2016, section 6.1): lower case,
no punctuation, no articles; F1 of the bags of words. Chinese is counted as in CMRC 2018 (Cui et
al. 2019): single characters; what the answers share is their longest common run, not a bag. In
Latin parts of a Chinese answer we split at white space and at all punctuation, where the original
asks nltk.

Of several gold answers the one that fits best counts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics.statistics import (
    Floats,
    Statistics,
    check_lengths,
    join_signature,
    mean_statistics,
)

Language = Literal["en", "zh"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ZH_UNITS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Both measures, 0 … 1."""

    exact_match: Statistics
    f1: Statistics


def answer_scores(
    predicted: Sequence[str], gold: Sequence[Sequence[str]], *, language: Language = "en"
) -> AnswerScores:
    """Exact match and F1 of each question, and so of all.

    Args:
        predicted: one answer a question.
        gold: one or more right answers a question.
        language: which of the two manners.

    Raises:
        DataError: numbers differ, or a question has no gold answer.
        ConfigError: another language.
    """
    check_lengths(predicted=predicted, gold=gold)
    if language not in ("en", "zh"):
        raise ConfigError("answers are measured in en and zh", got=language)
    for number, answers in enumerate(gold):
        if isinstance(answers, str) or not answers:
            raise DataError(
                f"question {number} needs a list of gold answers",
                got=answers,
                remedy='give ["answer"], one or more a question',
            )
    same, shared = (_same_en, _f1_en) if language == "en" else (_same_zh, _f1_zh)
    signature = join_signature(lang=language, norm="squad1.1" if language == "en" else "cmrc2018")
    return AnswerScores(
        mean_statistics("exact match", _best(same, predicted, gold), signature, is_share=True),
        mean_statistics("answer F1", _best(shared, predicted, gold), signature, is_share=True),
    )


def normalise_english(text: str) -> str:
    """Lower case, without punctuation and articles, words with single spaces."""
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def chinese_answer_units(text: str) -> list[str]:
    """Single Chinese characters, and runs of other letters and digits; lower case."""
    return _ZH_UNITS.findall(text.lower())


def _best(
    measure: Callable[[str, str], float],
    predicted: Sequence[str],
    gold: Sequence[Sequence[str]],
) -> Floats:
    pairs = zip(predicted, gold, strict=True)
    return np.array(
        [max(measure(answer, one) for one in answers) for answer, answers in pairs],
        dtype=np.float64,
    )


def _same_en(answer: str, gold: str) -> float:
    return float(normalise_english(answer) == normalise_english(gold))


def _f1_en(answer: str, gold: str) -> float:
    ours, theirs = normalise_english(answer).split(), normalise_english(gold).split()
    return _harmonic((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _same_zh(answer: str, gold: str) -> float:
    return float(_bare(answer) == _bare(gold))


def _bare(text: str) -> str:
    """Lower case without punctuation and symbols of arithmetic; spaces inside stay."""
    kept = [c for c in text.lower() if unicodedata.category(c)[0] != "P" and c not in "^~`+="]
    return "".join(kept).strip()


def _f1_zh(answer: str, gold: str) -> float:
    ours, theirs = chinese_answer_units(answer), chinese_answer_units(gold)
    return _harmonic(longest_common_run(ours, theirs), len(ours), len(theirs))


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest piece, without gaps, that stands in both."""
    best, row = 0, [0] * (len(second) + 1)
    for unit in first:
        above = row
        row = [0] * (len(second) + 1)
        for at, other in enumerate(second):
            if unit == other:
                row[at + 1] = above[at] + 1
                best = max(best, row[at + 1])
    return best


def _harmonic(shared: int, num_ours: int, num_theirs: int) -> float:
    if not num_ours and not num_theirs:
        return 1.0  # nothing was to be said, and nothing was said, as in SQuAD 2.0
    return 2 * shared / (num_ours + num_theirs) if shared else 0.0
