"""The n-gram model of sentences, as its users meet it.

V words with the marks, T tokens of all sentences with a mark before and behind each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.kneser_ney.arpa import read_arpa, write_arpa
from homespun.classic.kneser_ney.count import CHUNK_TOKENS
from homespun.classic.kneser_ney.estimate import DiscountKind, Smoothing, estimate
from homespun.classic.kneser_ney.kernels import KernelName, Level, load_kernels
from homespun.classic.kneser_ney.vocabulary import (
    END_ID,
    START_ID,
    UNKNOWN_ID,
    Vocabulary,
    read_sentences,
)
from homespun.classic.units import text_units
from homespun.core import ConfigError, DataError, perplexity_of

Sentence = str | Sequence[str]
_SENTENCES_AT_ONCE = 1 << 14
_MAX_ORDER = 16


def words_and_marks(text: str) -> list[str]:
    """English words in lower case, Chinese characters, and every punctuation mark."""
    return text_units(text, punctuation=True)


def words_between_blanks(text: str) -> list[str]:
    """Words as they stand, capitals and all, as KenLM and SRILM read a line."""
    return text.split()


class KneserNeyModel:
    """Interpolated Kneser-Ney over words: `KneserNeyModel(order=5).fit(sentences)`.

    A sentence is a list of words, or a string that `split` takes apart: by default into English
    words, Chinese characters and punctuation. For Chinese words give a segmenter as `split`.
    What it computes is in `estimate.py`; `reference.py` says the same slowly.

    Counting takes four to eight bytes a token of the text and, at order 5, about 140 bytes for each
    different window of five tokens, of which there are nearly as many as tokens: 1.0 GB for the
    seven million tokens of 31 MB of English. The model has 203 MB of them afterwards.

    The same numbers as elsewhere: an ARPA file written here gives the same in KenLM. NLTK's
    `KneserNeyInterpolated(order, discount=d)` is `discounts="absolute", discount=d,
    interpolate_unigrams=False`, for words with at least order - 1 tokens before them, `<s>`
    included. It differs nearer to the start, where it counts different tokens to the left of `<s>`
    though there is none, and, since it fills up with several `<s>` and `</s>`, in what these add
    to the unigrams.

    Args:
        order: longest n-gram, 1 to 16.
        discounts, discount, interpolate_unigrams: as `Smoothing` says.
        min_count: rarer words of the text are `<unk>`.
        max_words: how many words are kept, the most frequent; None keeps all.
        split: from a string to its words.
        kernels: "auto", "native" (compiled) or "numpy".

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        order: int = 5,
        discounts: DiscountKind = "modified",
        discount: float | None = None,
        interpolate_unigrams: bool = True,
        min_count: int = 1,
        max_words: int | None = None,
        split: Callable[[str], Sequence[str]] = words_and_marks,
        kernels: KernelName = "auto",
    ) -> None:
        if not 1 <= order <= _MAX_ORDER:
            raise ConfigError("the order of an n-gram model is 1 to 16", got=order, remedy="take 5")
        self.order = order
        self.smoothing = Smoothing(discounts, discount, interpolate_unigrams)
        self.smoothing.check()
        self._limits: dict[str, Any] = {"min_count": min_count, "max_words": max_words}
        self.split = split
        self._kernels = load_kernels(kernels)
        self._vocabulary = Vocabulary(())
        self._levels: list[Level] = []

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it knows, marks included."""
        return self._vocabulary

    @property
    def num_ngrams(self) -> tuple[int, ...]:
        """How many n-grams each order holds, from 1 up, as an ARPA file counts them."""
        return tuple(len(level.words) for level in self._levels)

    @property
    def num_bytes(self) -> int:
        """Of the tables, the words themselves not counted."""
        return sum(array.nbytes for level in self._levels for array in level)

    def fit(
        self,
        sentences: Iterable[Sentence],
        *,
        chunk_tokens: int = CHUNK_TOKENS,
        before_counting: Callable[[int], None] = lambda num_tokens: None,
    ) -> Self:
        """Count `sentences`, read once and not kept, and forget what was fitted before.

        Args:
            chunk_tokens: that are sorted at a time.
            before_counting: is told how many tokens there are, marks included, before counting
                takes memory for them; what it raises ends `fit`.

        Raises:
            DataError: no sentences.
            ConfigError: a vocabulary limit below 1.
        """
        vocabulary, stream = read_sentences(map(self.words_of, sentences), **self._limits)
        before_counting(len(stream))
        self._levels = estimate(
            stream,
            order=self.order,
            vocab_size=len(vocabulary),
            smoothing=self.smoothing,
            kernels=self._kernels,
            chunk_tokens=chunk_tokens,
        )
        self._vocabulary = vocabulary
        return self

    def stream_log_probs(self, stream_T: NDArray[np.int32]) -> NDArray[np.float64]:
        """ln p of each token of what `vocabulary.stream` gives, (T,); 0 for `<s>`.

        The quickest way; `benchmarks/ngram.py` says how quick.
        """
        self._check_fitted()
        if len(stream_T) and not 0 <= stream_T.min() <= stream_T.max() < len(self._vocabulary):
            raise DataError(
                f"a token id is outside the vocabulary of {len(self._vocabulary)}",
                got=f"{stream_T.min()} to {stream_T.max()}",
                remedy="make the stream with this model's vocabulary",
            )
        return self._kernels.score_tokens(self._levels, stream_T, START_ID)

    def token_log_probs(self, sentence: Sentence) -> NDArray[np.float64]:
        """ln p of each word and, last, of the end of the sentence."""
        return self.stream_log_probs(self._vocabulary.stream([self.words_of(sentence)]))[1:]

    def log_prob(self, sentence: Sentence) -> float:
        """ln p of a sentence with its end. Words it does not know count as `<unk>`."""
        return float(self.token_log_probs(sentence).sum())

    def log_probs(self, sentences: Iterable[Sentence]) -> NDArray[np.float64]:
        """ln p of each sentence with its end."""
        parts = [
            np.add.reduceat(scores, np.flatnonzero(stream == START_ID))
            for stream, scores in self._scored(sentences)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def perplexity(self, sentences: Iterable[Sentence]) -> float:
        """exp of the mean -ln p of a token, ends of sentences among them.

        It can be compared only with that of a model of the same vocabulary: `<unk>` is one token,
        whatever word stands there.

        Raises:
            DataError: no sentences.
        """
        total, num_tokens = 0.0, 0
        for stream, scores in self._scored(sentences):
            total -= float(scores.sum())
            num_tokens += int(np.count_nonzero(stream != START_ID))
        if not num_tokens:
            raise DataError("there is no text to score", remedy="give at least one sentence")
        return perplexity_of(total / num_tokens)

    def next_probabilities(self, history: Sentence = ()) -> NDArray[np.float64]:
        """p(next word | history since the start of the sentence), (V,), summing to 1.

        `<s>` has 0; the last digits are those of single precision.
        """
        self._check_fitted()
        return self._next([START_ID, *self._vocabulary.encode(self.words_of(history))])

    def sample(
        self, generator: np.random.Generator, *, max_words: int = 100, prompt: Sentence = ()
    ) -> list[str]:
        """Draw the words of a sentence that begins with `prompt` (left out), at most `max_words`.

        `<unk>` is never drawn, since it is no word.
        """
        self._check_fitted()
        ids = [START_ID, *self._vocabulary.encode(self.words_of(prompt))]
        begin = len(ids)
        while len(ids) - begin < max_words:
            p_V = self._next(ids)
            p_V[UNKNOWN_ID] = 0.0
            reached = np.cumsum(p_V)
            if not reached[-1] > 0:
                break  # nothing but unknown words goes on from here
            drawn = generator.random() * reached[-1]
            word = int(np.searchsorted(reached, drawn, side="right"))
            word = min(word, int(np.flatnonzero(p_V)[-1]))
            if word == END_ID:
                break
            ids.append(word)
        return [self._vocabulary.words[word] for word in ids[begin:]]

    def write_arpa(self, path: Path) -> None:
        """Write the model as an ARPA file, which other programs read.

        Raises:
            DataError: it is empty, or a word has a blank in it.
        """
        self._check_fitted()
        write_arpa(path, self._vocabulary, self._levels)

    @classmethod
    def read_arpa(
        cls,
        path: Path,
        *,
        split: Callable[[str], Sequence[str]] = words_and_marks,
        kernels: KernelName = "auto",
    ) -> Self:
        """The model of an ARPA file, of this or another program.

        Raises:
            DataError: it is no such file.
        """
        vocabulary, levels = read_arpa(path)
        model = cls(order=len(levels), split=split, kernels=kernels)
        model._vocabulary, model._levels = vocabulary, levels
        return model

    def _next(self, ids: Sequence[int]) -> NDArray[np.float64]:
        lowest = self._levels[0]
        p_V = np.exp(lowest.log_p.astype(np.float64))
        p_V[START_ID] = 0.0
        for length in range(1, min(self.order - 1, len(ids)) + 1):
            context = self._find(ids[len(ids) - length :])
            if context < 0:
                break  # a longer history that ends so was not seen either
            shorter, own = self._levels[length - 1], self._levels[length]
            p_V *= math.exp(shorter.backoff[context])
            begin, end = shorter.first[context : context + 2]
            p_V[own.words[begin:end]] = np.exp(own.log_p[begin:end].astype(np.float64))
        return p_V

    def _find(self, ids: Sequence[int]) -> int:
        """Number of an n-gram in its order, -1 where it was not seen."""
        found = ids[0]
        for length, word in enumerate(ids[1:], start=1):
            begin, end = self._levels[length - 1].first[found : found + 2]
            words = self._levels[length].words[begin:end]
            at = int(np.searchsorted(words, word))
            if at == len(words) or words[at] != word:
                return -1
            found = int(begin) + at
        return found

    def _scored(
        self, sentences: Iterable[Sentence]
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
        """Tokens and their ln p, some sentences at a time."""
        source = iter(sentences)
        while part := list(itertools.islice(source, _SENTENCES_AT_ONCE)):
            stream = self._vocabulary.stream(map(self.words_of, part))
            yield stream, self.stream_log_probs(stream)

    def words_of(self, sentence: Sentence) -> Sequence[str]:
        """A string taken apart by `split`; a list as it is."""
        return self.split(sentence) if isinstance(sentence, str) else sentence

    def _check_fitted(self) -> None:
        if not self._levels:
            raise DataError("this n-gram model is empty", remedy="call fit first")
