"""ROUGE-1, -2 and -L over words and single Chinese characters (Lin 2004).

The first two by rouge-score. Its ROUGE-L fills a table of all pairs of units, which of two texts of
some thousand words takes seconds and hundreds of megabytes; ours is the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from homespun.classic.edits import common_length
from homespun.classic.units import text_units
from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics.statistics import (
    Statistics,
    check_lengths,
    join_signature,
    mean_statistics,
)

Quantity = Literal["precision", "recall", "fmeasure"]
_LONGEST = "L"
_KINDS = {"1": "rouge1", "2": "rouge2"}


class RougeScorer:
    """ROUGE of single texts; 0 … 1 each.

    Args:
        kinds: of "1", "2", "L".

    Raises:
        ConfigError: another kind.
    """

    def __init__(self, kinds: Sequence[str] = ("1", "2", "L")) -> None:
        from rouge_score import rouge_scorer

        if not set(kinds) <= {*_KINDS, _LONGEST}:
            raise ConfigError("unknown kind of ROUGE", got=list(kinds), remedy="take 1, 2 or L")

        class Cut:
            """The package's own tokenizer keeps ASCII letters only, so texts are cut before."""

            def tokenize(self, units: list[str]) -> list[str]:
                return units

        scorer: Any = rouge_scorer  # the package has no types
        self._kinds = tuple(kinds)
        self._scorer: Any = scorer.RougeScorer(
            [_KINDS[kind] for kind in kinds if kind in _KINDS], tokenizer=Cut()
        )

    def score(
        self, reference: str, text: str, *, quantity: Quantity = "fmeasure"
    ) -> dict[str, float]:
        """By kind; 1 where the units are the same in the same order."""
        theirs, ours = text_units(reference), text_units(text)
        found = self._scorer.score(theirs, ours)
        return {
            kind: float(getattr(found[_KINDS[kind]], quantity))
            if kind in _KINDS
            else _longest(theirs, ours, quantity)
            for kind in self._kinds
        }


def _longest(reference: Sequence[str], units: Sequence[str], quantity: Quantity) -> float:
    """ROUGE-L of two sequences of units."""
    if not reference or not units:
        return 0.0
    common = common_length(reference, units)
    precision, recall = common / len(units), common / len(reference)
    if quantity == "fmeasure":
        total = precision + recall
        return 2 * precision * recall / total if total else 0.0
    return precision if quantity == "precision" else recall


def rouge(
    texts: Sequence[str],
    references: Sequence[str | Sequence[str]],
    *,
    kinds: Sequence[str] = ("1", "2", "L"),
    quantity: Quantity = "fmeasure",
) -> dict[str, Statistics]:
    """Mean ROUGE of `texts`, by kind. Of several references the best of each kind counts.

    Args:
        texts: N summaries.
        references: for each one or several.
        kinds: of "1", "2", "L".
        quantity: "precision", "recall" or their harmonic mean.

    Raises:
        DataError: numbers differ, or a text has no reference.
    """
    check_lengths(texts=texts, references=references)
    scorer = RougeScorer(kinds)
    values_NK = np.zeros((len(texts), len(kinds)))
    for row, text, several in zip(values_NK, texts, references, strict=True):
        candidates = [several] if isinstance(several, str) else list(several)
        if not candidates:
            raise DataError("a text has no reference", got=text, remedy="leave it out")
        found = [scorer.score(one, text, quantity=quantity) for one in candidates]
        row[:] = [max(scores[kind] for scores in found) for kind in kinds]
    signature = join_signature(quantity=quantity, units="words-and-han", stem="no")
    return {
        kind: mean_statistics(f"ROUGE-{kind}", values_NK[:, column], signature, is_share=True)
        for column, kind in enumerate(kinds)
    }
