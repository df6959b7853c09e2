"""Answers to questions about a text: exact match and F1, in English and in Chinese.

English is normalised and counted as in SQuAD 1.1 (Rajpurkar et al. 2016, section 6.1): lower case,
no punctuation, no articles; F1 of the bags of words. Chinese is counted as in CMRC 2018 (Cui et
al. 2019): its marks are taken out, and no others, so that 3.5 is not 35; then single characters,
of which the answers share their longest common run, not a bag. Latin parts of a Chinese answer are
words, numbers and single signs; the original asks nltk, which cuts contractions and leaves some
rare signs with their neighbours (exact match is the same, F1 on the development set to 0.0001).

Of several gold answers the one that fits best counts.
"""

from __future__ import annotations

import re
import string
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
_NO_MARKS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC 2018 takes out of answers: not the points, commas and signs of numbers."""
_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_LATIN = rf"[^\W_{_HAN}]+"
# A point or comma inside a number or name is part of it.
_ZH_UNITS = re.compile(rf"[{_HAN}]|{_LATIN}(?:(?:\.|,(?=[0-9])){_LATIN})*|\S")


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
        raise ConfigError(
            "answers are measured in en and zh",
            got=language,
            remedy="take en for languages with spaces between words",
        )
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
    """Single Chinese characters; other words and numbers, "3.5" and "1,000" whole; other signs.

    In lower case and without the marks that CMRC 2018 takes out: "GPT-2" gives ["gpt2"].
    """
    return _ZH_UNITS.findall(_without_marks(text))


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
    return float(_without_marks(answer) == _without_marks(gold))


def _without_marks(text: str) -> str:
    """In lower case; spaces inside stay."""
    return text.lower().strip().translate(_NO_MARKS)


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
