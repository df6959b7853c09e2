"""BLEU and chrF of a corpus, equal to sacrebleu's to the last digits that are printed.

References are one string a sentence, or a list of them. Both give 0 … 100.

Shape letters: N sentences, K quantities, O orders of n-grams.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics.statistics import (
    Floats,
    Statistics,
    check_lengths,
    join_signature,
    safe_ratio,
)
from homespun.evaluation.metrics.tokens import CutName, cutter

References = Sequence[str | Sequence[str]]

VERSION = "homespun-1"
"""Of the numbers; raised when one changes."""

_MAX_ORDER = 4


def bleu(
    hypotheses: Sequence[str],
    references: References,
    *,
    tokenize: CutName = "13a",
    lowercase: bool = False,
) -> Statistics:
    """Corpus BLEU of 1- to 4-grams (Papineni et al. 2002) as sacrebleu has it (Post 2018).

    The reference nearest in length counts for the brevity penalty, of equally near ones the
    shorter. Orders without a match are smoothed exponentially (NIST's mteval-v13a).

    Args:
        hypotheses: N sentences.
        references: for each one or several.
        tokenize: "13a", "zh" for Chinese, "char" or "none" (white space).
        lowercase: compare in lower case.

    Raises:
        DataError: numbers differ, or a sentence has no reference.
    """
    lists = _reference_lists(hypotheses, references)
    cut = cutter(tokenize)
    rows_NK = np.zeros((len(hypotheses), 2 + 2 * _MAX_ORDER))
    for row, hypothesis, several in zip(rows_NK, hypotheses, lists, strict=True):
        ours = cut(hypothesis.lower() if lowercase else hypothesis)
        theirs = [cut(text.lower() if lowercase else text) for text in several]
        row[0] = len(ours)
        row[1] = min((abs(len(ref) - len(ours)), len(ref)) for ref in theirs)[1]
        for order in range(1, _MAX_ORDER + 1):
            found = _grams(ours, order)
            allowed = _grams(theirs[0], order)
            for ref in theirs[1:]:
                allowed |= _grams(ref, order)
            row[1 + order] = _num_shared(found, allowed)
            row[1 + _MAX_ORDER + order] = max(0, len(ours) - order + 1)
    signature = join_signature(
        nrefs=_num_references(lists),
        case="lc" if lowercase else "mixed",
        eff="no",
        tok=tokenize,
        smooth="exp",
        version=VERSION,
    )
    return Statistics("BLEU", signature, rows_NK, _bleu_of)


def _bleu_of(sums_K: Floats) -> Floats:
    num_ours, num_theirs = sums_K[..., 0], sums_K[..., 1]
    right_O = sums_K[..., 2 : 2 + _MAX_ORDER]
    total_O = sums_K[..., 2 + _MAX_ORDER :]
    # The k-th order without a match counts as 1 / 2^k matches.
    missed_O = np.cumsum(right_O == 0, axis=-1)
    smoothed_O = np.where(right_O == 0, 0.5**missed_O, right_O)
    usable: NDArray[np.bool_] = np.all(total_O > 0, axis=-1) & np.any(right_O > 0, axis=-1)
    precision_O = safe_ratio(smoothed_O, total_O)
    logs = np.log(np.where(np.expand_dims(usable, -1), precision_O, 1.0)).mean(axis=-1)
    shortfall = np.minimum(0.0, 1.0 - safe_ratio(num_theirs, num_ours))
    return np.where(usable, 100.0 * np.exp(logs + shortfall), 0.0)


def chrf(
    hypotheses: Sequence[str],
    references: References,
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: int = 2,
    lowercase: bool = False,
) -> Statistics:
    """Corpus chrF (Popović 2015); with `word_order=2` chrF++ (Popović 2017).

    Precision and recall are means over the orders that both sides have. Of several references
    the one of the best score for its sentence counts.

    Args:
        hypotheses, references: as for `bleu`.
        char_order: longest n-gram of characters, white space left out.
        word_order: longest n-gram of words, punctuation at either end cut off.
        beta: how much more recall counts than precision.
        lowercase: compare in lower case.
    """
    if char_order < 1 or word_order < 0 or beta < 1:
        raise ConfigError(
            "chrF needs char_order >= 1, word_order >= 0 and beta >= 1",
            got=(char_order, word_order, beta),
            remedy="take 6, 0 and 2, or word_order=2 for chrF++",
        )
    lists = _reference_lists(hypotheses, references)
    value_of = _chrf_value(char_order + word_order, beta)

    def all_grams(text: str) -> list[Counter[Any]]:
        text = text.lower() if lowercase else text
        bare = "".join(text.split())
        orders: list[Counter[Any]] = [
            Counter(bare[at : at + order] for at in range(len(bare) - order + 1))
            for order in range(1, char_order + 1)
        ]
        words = _words(text) if word_order else []
        return orders + [_grams(words, order) for order in range(1, word_order + 1)]

    rows_NK = np.zeros((len(hypotheses), 3 * (char_order + word_order)))
    for row, hypothesis, several in zip(rows_NK, hypotheses, lists, strict=True):
        ours = all_grams(hypothesis)
        candidates = np.array([_chrf_row(ours, all_grams(text)) for text in several])
        row[:] = candidates[int(np.argmax(value_of(candidates)))]
    signature = join_signature(
        nrefs=_num_references(lists),
        case="lc" if lowercase else "mixed",
        eff="yes",
        nc=char_order,
        nw=word_order,
        space="no",
        version=VERSION,
    )
    name = "chrF" + str(beta) + "+" * word_order
    return Statistics(name, signature, rows_NK, value_of)


def _chrf_row(ours: list[Counter[Any]], theirs: list[Counter[Any]]) -> list[int]:
    """Ours, theirs and shared of each order; ours count only where there is one of theirs."""
    row: list[int] = []
    for found, wanted in zip(ours, theirs, strict=True):
        num_found = found.total() if wanted else 0
        row += [num_found, wanted.total(), _num_shared(found, wanted)]
    return row


def _chrf_value(num_orders: int, beta: int) -> Callable[[Floats], Floats]:
    def value_of(sums_K: Floats) -> Floats:
        sums_O3 = sums_K.reshape(*sums_K.shape[:-1], num_orders, 3)
        ours_O, theirs_O, shared_O = (sums_O3[..., i] for i in range(3))
        num_used = ((ours_O > 0) & (theirs_O > 0)).sum(axis=-1).astype(np.float64)
        precision = safe_ratio(safe_ratio(shared_O, ours_O).sum(-1), num_used)
        recall = safe_ratio(safe_ratio(shared_O, theirs_O).sum(-1), num_used)
        weight = float(beta * beta)
        return 100 * safe_ratio((1 + weight) * precision * recall, weight * precision + recall)

    return value_of


def _words(text: str) -> list[str]:
    """Words with one mark of punctuation cut off at the end, or else at the beginning."""
    words: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words


def _grams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def _num_shared(found: Counter[Any], allowed: Counter[Any]) -> int:
    return sum(min(count, allowed[gram]) for gram, count in found.items() if gram in allowed)


def _reference_lists(hypotheses: Sequence[str], references: References) -> list[list[str]]:
    check_lengths(hypotheses=hypotheses, references=references)
    lists = [[one] if isinstance(one, str) else list(one) for one in references]
    for number, several in enumerate(lists):
        if not several:
            raise DataError(
                f"sentence {number} has no reference", got=several, remedy="leave it out"
            )
    return lists


def _num_references(lists: list[list[str]]) -> str:
    numbers = {len(several) for several in lists}
    return str(numbers.pop()) if len(numbers) == 1 else "var"
