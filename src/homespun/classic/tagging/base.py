"""What all taggers share: their manner, their scores, and checks of what they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self

from homespun.classic.tagging.spans import Span, tags_to_spans
from homespun.core import ConfigError, DataError

Sentence = Sequence[str]


class Tagger(Protocol):
    """Learns tags of words (or characters) from tagged sentences, and gives them to others."""

    def fit(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> Self:
        """Learn; a tag for each word. Raises DataError where they do not match."""

    def predict(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """A tag for each word. Raises ConfigError before `fit`."""

    def score(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> float:
        """The share of words whose tag is right."""


class SpanScores(NamedTuple):
    """How many spans were right, of how many found and how many there are; 0 of 0 is 0."""

    precision: float
    recall: float
    f1: float


class ScoredTagger(ABC):
    """`score` in terms of `predict`."""

    @abstractmethod
    def predict(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """See `Tagger`."""

    def score(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> float:
        """The share of words whose tag is right. Raises DataError on unequal lengths."""
        check_pairs(sentences, tags)
        return accuracy(tags, self.predict(sentences))


def accuracy(gold: Sequence[Sentence], found: Sequence[Sentence]) -> float:
    """The share of equal tags, 0 of none. Raises DataError on unequal lengths."""
    check_pairs(gold, found)
    right = [a == b for g, f in zip(gold, found, strict=True) for a, b in zip(g, f, strict=True)]
    return sum(right) / max(1, len(right))


def span_scores(gold: Sequence[Sentence], found: Sequence[Sentence]) -> SpanScores:
    """Scores of whole spans with their labels, as CoNLL counts them, from tags of any scheme.

    Source: Tjong Kim Sang & De Meulder 2003, section 2.3.

    Raises:
        DataError: the lengths are unequal, or a tag is of no known scheme.
    """
    check_pairs(gold, found)
    return count_spans(map(tags_to_spans, gold), map(tags_to_spans, found))


def count_spans(gold: Iterable[Sequence[Span]], found: Iterable[Sequence[Span]]) -> SpanScores:
    """The same from the spans of each sentence."""
    num_right = num_gold = num_found = 0
    for there, given in zip(gold, found, strict=True):
        num_right += len(set(there) & set(given))
        num_gold, num_found = num_gold + len(there), num_found + len(given)
    precision = num_right / num_found if num_found else 0.0
    recall = num_right / num_gold if num_gold else 0.0
    total = precision + recall
    return SpanScores(precision, recall, 2 * precision * recall / total if total else 0.0)


def check_pairs(sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> None:
    """Raises DataError unless there is a tag for each word of each sentence."""
    if len(sentences) != len(tags):
        raise DataError(
            "sentences and tags are not as many",
            got=f"{len(sentences)} and {len(tags)}",
            remedy="give a list of tags for each sentence",
        )
    for number, (sentence, row) in enumerate(zip(sentences, tags, strict=True)):
        if len(sentence) != len(row):
            raise DataError(
                f"words and tags of sentence {number} are not as many",
                got=f"{len(sentence)} and {len(row)}",
                remedy="give a tag for each word",
            )


def check_training(sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> None:
    """As `check_pairs`; also raises DataError where there is nothing to learn from."""
    check_pairs(sentences, tags)
    if not any(sentences):
        raise DataError("there is no word to learn from", got=0, remedy="give tagged sentences")


def not_fitted(name: str) -> ConfigError:
    """What a method raises that needs `fit` before it."""
    return ConfigError(
        f"this {name} has learnt nothing yet", got="no fit", remedy="call fit or load first"
    )
