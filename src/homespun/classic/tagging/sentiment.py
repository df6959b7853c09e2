"""Sentiment by a lexicon that is learned: log-odds of words, turned about behind a negation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from homespun.classic.store import load_parts, save_parts
from homespun.classic.tagging.base import not_fitted
from homespun.classic.units import count_han, text_units
from homespun.core import ConfigError, DataError

NEGATIONS: Final = frozenset(
    [
        "not",
        "no",
        "never",
        "neither",
        "nor",
        "cannot",
        "without",
        "hardly",
        "barely",
        "n't",
        "nothing",
        "nobody",
        "none",
    ]
)
"""English words that turn about what follows; so does each that ends in n't."""
NEGATIONS_ZH: Final = frozenset("不没沒無无非未别別莫勿")
"""Chinese characters that do."""
BREAKS: Final = frozenset(".,;:!?。，；：！？、…") | {"but", "however", "although", "但", "却"}
"""What a negation does not reach beyond."""
_REACH, _REACH_ZH = 4, 4


class LexiconSentiment:
    """Says whether a text is for (1) or against (0), by the sum of its words' weights.

    A weight is the logarithm of the odds of a unit in texts of the one kind over the other, under
    a Dirichlet prior, if it is more than `threshold` standard deviations from 0 (Monroe, Colaresi
    & Quinn 2008, eqs. 16, 20 and 22). Units are words, Chinese characters, and pairs of Chinese
    characters. Behind a negation, up to `BREAKS` and four units at most, a unit is another one,
    and one that was not met there counts as its own opposite (after Das & Chen 2001).

    Args:
        threshold: deviations from 0 that a unit needs.
        prior: what is added to the counts, for all units together as many times as there are.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(self, *, threshold: float = 0.7, prior: float = 0.5) -> None:
        if not threshold >= 0 or not prior > 0:
            raise ConfigError(
                "a setting of the lexicon is out of range",
                got=f"threshold={threshold}, prior={prior}",
                remedy="threshold is 0 or more, prior above 0",
            )
        self._threshold, self._prior = threshold, prior
        self._weights: dict[str, float] = {}
        self._bias: float | None = None

    @property
    def lexicon(self) -> dict[str, float]:
        """Weights of units; those behind a negation begin with "NOT_"."""
        return dict(self._weights)

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> Self:
        """Learn from texts and labels, 1 for and 0 against.

        Raises:
            DataError: a label is missing or neither 0 nor 1, or one of them has no text.
        """
        if len(texts) != len(labels) or set(labels) != {0, 1}:
            raise DataError(
                "there must be texts labelled 1 and texts labelled 0",
                got=f"{len(texts)} texts, {len(labels)} labels {sorted(set(labels))[:5]}",
                remedy="give one label for each text, and some of either kind",
            )
        counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for text, label in zip(texts, labels, strict=True):
            counts[label].update(set(sentiment_units(text)))
        vocabulary = counts[0].keys() | counts[1].keys()
        totals = [part.total() + self._prior * len(vocabulary) for part in counts]
        self._weights = {}
        # A unit that is all there is has no odds against others.
        for unit in sorted(vocabulary) if len(vocabulary) > 1 else ():
            against, favour = (part[unit] + self._prior for part in counts)
            odds = math.log(favour / (totals[1] - favour))
            odds -= math.log(against / (totals[0] - against))
            if abs(odds) > self._threshold * math.sqrt(1 / favour + 1 / against):
                self._weights[unit] = odds
        self._bias = math.log(sum(labels) / (len(labels) - sum(labels)))
        return self

    def weigh(self, text: str) -> float:
        """The sum of weights: above 0 speaks for. Raises ConfigError before `fit`."""
        if self._bias is None:
            raise not_fitted("LexiconSentiment")
        total = self._bias
        for unit in sorted(set(sentiment_units(text))):
            found = self._weights.get(unit)
            if found is None and unit.startswith("NOT_"):
                found = -0.5 * self._weights.get(unit.removeprefix("NOT_"), 0.0)
            total += found or 0.0
        return total

    def predict(self, texts: Sequence[str]) -> list[int]:
        """1 or 0 for each text; an even one is 1. Raises ConfigError before `fit`."""
        return [int(self.weigh(text) >= 0) for text in texts]

    def score(self, texts: Sequence[str], labels: Sequence[int]) -> float:
        """The share of texts whose label is right, 0 of none. Raises ConfigError before `fit`."""
        found = self.predict(texts)
        return sum(a == b for a, b in zip(found, labels, strict=True)) / max(1, len(labels))

    def save(self, folder: Path) -> None:
        """Write `classic.json`. Raises ConfigError before `fit`; RunError where it cannot."""
        if self._bias is None:
            raise not_fitted("LexiconSentiment")
        settings = {"threshold": self._threshold, "prior": self._prior}
        record = {"settings": settings, "bias": self._bias, "weights": self._weights}
        save_parts(folder, "sentiment", record, {})

    @classmethod
    def load(cls, folder: Path) -> LexiconSentiment:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "sentiment", _check, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], _: dict[str, Any]) -> LexiconSentiment:
        found = cls(**record["settings"])
        found._bias, found._weights = record["bias"], record["weights"]
        return found


def spelt_out(text: str) -> str:
    """`text` in lower case, with n't as a word of its own, which `text_units` would cut at its
    apostrophe."""
    return text.lower().replace("’", "'").replace("n't", " not").replace("n 't", " not")


def sentiment_units(text: str) -> list[str]:
    """Units of `text` and pairs of Chinese characters; "NOT_" before those behind a negation."""
    plain = spelt_out(text)
    marked: list[tuple[str, bool]] = []
    reach = 0
    for unit in text_units(plain, punctuation=True):
        if unit in BREAKS:
            reach = 0
        marked.append((unit, reach > 0))
        reach = max(0, reach - 1)
        if unit in NEGATIONS:
            reach = _REACH
        elif unit in NEGATIONS_ZH:
            reach = _REACH_ZH
    units = [_name(unit, negated) for unit, negated in marked]
    for (first, negated), (second, also) in pairwise(marked):
        if count_han(first) and count_han(second):
            units.append(_name(first + second, negated and also))
    return units


def _name(unit: str, negated: bool) -> str:
    return f"NOT_{unit}" if negated else unit


def _check(record: dict[str, Any], arrays: dict[str, Any]) -> bool:
    weights = record["weights"]
    return (
        isinstance(record["bias"], float)
        and isinstance(weights, dict)
        and all(isinstance(weight, float) for weight in weights.values())
    )
