"""Words and their counts; texts as arrays of word numbers."""

from __future__ import annotations

import itertools
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from homespun.classic.vectors.draws import keep_limits, random_bits
from homespun.core import ConfigError, DataError
from homespun.core.text import nfc

MAX_SENTENCE = 10_000
"""Longer sentences are cut, so that the learning rate moves within a document too."""


def _compile(pattern: str) -> Any:
    return regex.compile(pattern, regex.V1)  # type: ignore[no-untyped-call]


_HAN = r"\p{Han}+"
# An apostrophe inside a word is part of it: don't, l'eau.
_WORD = r"[[\p{L}\p{N}\p{M}_]--\p{Han}]+(?:['’][[\p{L}\p{M}]--\p{Han}]+)*"
_PIECES = _compile(rf"({_HAN})|({_WORD})")
_ENDS = _compile(r"(?<=[.!?…]['\"”’)]*)\s+|(?<=[。！？…][”’」』）]*)(?![”’」』）])|\n\s*\n")


class Vocabulary:
    """The words that get a vector, the most frequent first.

    Args:
        words: each once.
        counts: how often each was seen, above 0.

    Raises:
        DataError: a word comes twice, or the two do not have the same length.
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int] | NDArray[np.int64]) -> None:
        self.words = tuple(words)
        self.counts_V = np.asarray(counts, np.int64)
        if len(self.index) != len(self.words) or self.counts_V.shape != (len(self.words),):
            raise DataError(
                "a vocabulary needs each word once, and a count for each",
                got=f"{len(self.words)} words, {len(self.index)} different, "
                f"{self.counts_V.size} counts",
                remedy="count the words anew",
            )

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}


class EncodedText(NamedTuple):
    """Sentences of word numbers, one behind the other; rare words are left out.

    Attributes:
        vocabulary: what the numbers mean.
        tokens_N: int32.
        starts_S: int64, where sentences start, and behind them the end of the last.
        num_words: words of the text, the rare ones too.
    """

    vocabulary: Vocabulary
    tokens_N: NDArray[np.int32]
    starts_S: NDArray[np.int64]
    num_words: int


def encode_sentences(
    sentences: Iterable[Iterable[str]], *, min_count: int = 5, max_size: int | None = None
) -> EncodedText:
    """Count words and number them, in one pass: `sentences` may be a generator.

    Args:
        sentences: lists of words. Memory is 4 bytes a word, and the words themselves.
        min_count: rarer words are left out, as if they were not in the text.
        max_size: at most so many words, the most frequent; of equals the first in code order.

    Raises:
        ConfigError: a limit below 1.
        DataError: a sentence is a string, or no word is left.
    """
    for name, limit in (("min_count", min_count), ("max_size", max_size)):
        if limit is not None and limit < 1:
            raise ConfigError(f"{name} is below 1", got=limit, remedy="give 1 or more")
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a new word gets the next number
    raw, ends = array("i"), array("q")
    for sentence in sentences:
        if isinstance(sentence, str):
            raise DataError(
                "a sentence is a string, not a list of words",
                got=sentence,
                remedy="split it first, as `text_sentences` does",
            )
        raw.extend(map(numbers.__getitem__, sentence))
        ends.append(len(raw))
    words = list(numbers)
    raw_N = np.frombuffer(raw, np.int32) if raw else np.zeros(0, np.int32)
    counts = np.bincount(raw_N, minlength=len(words)).tolist()
    kept = [number for number, count in enumerate(counts) if count >= min_count]
    kept.sort(key=lambda number: (-counts[number], words[number]))
    kept = kept[:max_size]
    if not kept:
        raise DataError(
            f"no word comes {min_count} times in the text",
            got=f"{len(raw_N)} words, {len(words)} different",
            remedy="give more text or a smaller min_count",
        )
    vocabulary = Vocabulary([words[at] for at in kept], [counts[at] for at in kept])
    new = np.full(len(words), -1, np.int32)
    new[kept] = np.arange(len(kept), dtype=np.int32)
    return _without_rare(vocabulary, new[raw_N], np.frombuffer(ends, np.int64))


def check_numbers(numbers: NDArray[np.int32], vocabulary: Vocabulary) -> None:
    """Raises DataError where one is of no word: the compiled loops write where numbers say."""
    if not len(numbers):
        return
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= len(vocabulary):
        raise DataError(
            f"there are words outside the vocabulary of {len(vocabulary)}",
            got=f"numbers from {least} to {most}",
            remedy="give the vocabulary of this text",
        )


def thin_text(text: EncodedText, subsample: float, seed: int) -> EncodedText:
    """The text without most of its frequent words, drawn once, as word2vec draws each epoch.

    Neighbours of a word that is gone move together.

    Args:
        text: sentences; the vocabulary and its counts stay as they are.
        subsample: as in `Word2Vec`; 0 keeps all.
        seed: of the draws.
    """
    limits_V = keep_limits(text.vocabulary.counts_V.astype(np.float64), subsample)
    draws_N = random_bits(seed, len(text.tokens_N)) >> np.uint64(32)
    kept_N = draws_N <= limits_V[text.tokens_N]
    return _without_rare(
        text.vocabulary, np.where(kept_N, text.tokens_N, -1).astype(np.int32), text.starts_S[1:]
    )._replace(num_words=text.num_words)


def _without_rare(
    vocabulary: Vocabulary, tokens_N: NDArray[np.int32], ends_S: NDArray[np.int64]
) -> EncodedText:
    known_N = tokens_N >= 0
    before = np.concatenate(([0], np.cumsum(known_N)))
    starts = np.unique(np.concatenate(([0], before[ends_S])))  # without empty sentences
    cuts = [
        np.arange(start, end, MAX_SENTENCE)
        for start, end in itertools.pairwise(starts.tolist())
        if end - start > MAX_SENTENCE
    ]
    starts_S = np.unique(np.concatenate((starts, *cuts))).astype(np.int64)
    return EncodedText(vocabulary, tokens_N[known_N], starts_S, len(tokens_N))


def text_words(text: str, segment: Callable[[str], Iterable[str]] | None = None) -> list[str]:
    """Lower-cased words of `text` in NFC, without punctuation.

    Args:
        text: any text.
        segment: cuts a run of Chinese characters into words, as `rjieba.cut` does; without it
            each character is a word.

    Returns:
        "Don't say 你好世界!" gives ["don't", "say", "你好", "世界"].
    """
    cut = segment or list
    words: list[str] = []
    for han, word in _PIECES.findall(nfc(text).lower()):
        if han:
            words.extend(cut(han))
        else:
            words.append(word.replace("’", "'"))
    return words


def text_sentences(
    text: str, segment: Callable[[str], Iterable[str]] | None = None
) -> Iterable[list[str]]:
    """The words of each sentence: cut behind . ! ? 。！？ and their quotes, and at empty lines."""
    for sentence in _ENDS.split(text):
        words = text_words(sentence, segment)
        if words:
            yield words
