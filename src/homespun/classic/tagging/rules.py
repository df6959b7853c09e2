"""The oldest baseline: the most frequent tag of a word, else a pattern's, else its ending's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from homespun.classic.store import load_parts, save_parts
from homespun.classic.tagging.base import ScoredTagger, Sentence, check_training, not_fitted
from homespun.core import ConfigError

SHAPES: tuple[str, ...] = (
    r"[-+]?[\d.,:/%]*\d[\d.,:/%]*",
    r"(?:https?://|www\.).+",
    r"\S+@\S+\.\S+",
    r"[A-Z][a-z]+(?:[-'][A-Z]?[a-z]+)*",
    r"[A-Z][A-Z.&]+",
    r"[零〇一二三四五六七八九十百千万萬亿億两兩]+",
    r"[零〇一二三四五六七八九十\d]+[年月日號号时時]",
    r"\W+",
)
"""Patterns whose tag is learned: that of most words of training which match and are rare."""


class RulesTagger(ScoredTagger):
    """Looks each word up and guesses those it does not know, without a look at their neighbours.

    A word gets, from the first that applies: its most frequent tag in training; the same for its
    lower case; the tag given with a pattern of `patterns`; the most frequent tag of rare words
    that match the same of `SHAPES`; that of rare words with its longest known ending; the most
    frequent of rare words.

    Args:
        patterns: pairs of a regular expression for the whole word, and its tag.
        max_suffix: the longest ending that is looked at.

    Raises:
        ConfigError: a pattern is no regular expression.
    """

    def __init__(self, patterns: Sequence[tuple[str, str]] = (), *, max_suffix: int = 5) -> None:
        try:
            self._patterns = [(re.compile(pattern), tag) for pattern, tag in patterns]
        except (re.error, ValueError) as error:
            raise ConfigError(
                "a pattern is no regular expression", got=str(error), remedy="mend the pattern"
            ) from error
        self._max_suffix = max_suffix
        self._shapes = [re.compile(shape) for shape in SHAPES]
        self._words: dict[str, str] = {}
        self._lowers: dict[str, str] = {}
        self._by_shape: dict[str, str] = {}
        self._endings: dict[str, str] = {}
        self._default = ""

    def fit(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> Self:
        """Count. Raises DataError where there are no words, or not a tag for each."""
        check_training(sentences, tags)
        words: dict[str, Counter[str]] = defaultdict(Counter)
        lowers: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence, row in zip(sentences, tags, strict=True):
            for word, tag in zip(sentence, row, strict=True):
                words[word][tag] += 1
                lowers[word.lower()][tag] += 1
        shapes: dict[str, Counter[str]] = defaultdict(Counter)
        endings: dict[str, Counter[str]] = defaultdict(Counter)
        rare: Counter[str] = Counter()
        for word, counts in words.items():
            if counts.total() > 3:
                continue
            rare.update(counts)
            shape = self._shape(word)
            if shape is not None:
                shapes[shape].update(counts)
            for length in range(1, min(self._max_suffix, len(word)) + 1):
                endings[word[-length:]].update(counts)
        self._words, self._lowers = _most(words), _most(lowers)
        self._by_shape = _most(shapes)
        self._endings = _most({end: c for end, c in endings.items() if c.total() > 1})
        everything: Counter[str] = Counter()
        for counts in words.values():
            everything.update(counts)
        self._default = _first(rare or everything)
        return self

    def predict(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """A tag for each word. Raises ConfigError before `fit`."""
        if not self._default:
            raise not_fitted("RulesTagger")
        return [[self._guess(word) for word in sentence] for sentence in sentences]

    def save(self, folder: Path) -> None:
        """Write `classic.json`. Raises ConfigError before `fit`; RunError where it cannot."""
        if not self._default:
            raise not_fitted("RulesTagger")
        patterns = [[pattern.pattern, tag] for pattern, tag in self._patterns]
        record = {"patterns": patterns, "max_suffix": self._max_suffix, "default": self._default}
        record |= {"words": self._words, "lowers": self._lowers}
        save_parts(
            folder, "rules", record | {"shapes": self._by_shape, "endings": self._endings}, {}
        )

    @classmethod
    def load(cls, folder: Path) -> RulesTagger:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "rules", _check, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], _: dict[str, Any]) -> RulesTagger:
        tagger = cls([(p, tag) for p, tag in record["patterns"]], max_suffix=record["max_suffix"])
        tagger._words, tagger._lowers = record["words"], record["lowers"]
        tagger._by_shape, tagger._endings = record["shapes"], record["endings"]
        tagger._default = record["default"]
        return tagger

    def _shape(self, word: str) -> str | None:
        return next((shape.pattern for shape in self._shapes if shape.fullmatch(word)), None)

    def _guess(self, word: str) -> str:
        found = self._words.get(word) or self._lowers.get(word.lower())
        if found:
            return found
        for pattern, tag in self._patterns:
            if pattern.fullmatch(word):
                return tag
        shape = self._shape(word)
        if shape in self._by_shape:
            return self._by_shape[shape]
        for length in range(min(self._max_suffix, len(word)), 0, -1):
            if word[-length:] in self._endings:
                return self._endings[word[-length:]]
        return self._default


def _first(counts: Counter[str]) -> str:
    """The most frequent; of equals the first of the alphabet."""
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _most(table: dict[str, Counter[str]]) -> dict[str, str]:
    return {key: _first(counts) for key, counts in table.items()}


def _check(record: dict[str, Any], arrays: dict[str, Any]) -> bool:
    tables = [record[name] for name in ("words", "lowers", "shapes", "endings")]
    tags = [tag for table in tables if isinstance(table, dict) for tag in table.values()]
    return (
        all(isinstance(table, dict) for table in tables)
        and all(isinstance(tag, str) for tag in (*tags, record["default"]))
        and bool(record["default"])
        and isinstance(record["max_suffix"], int)
    )
