"""word2vec: skip-gram and CBOW with negative sampling.

Shape letters: V words, D width, N tokens, S sentences and one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors.draws import alias_table, keep_limits, random_weights
from homespun.classic.vectors.keyed import WordVectors
from homespun.classic.vectors.native import (
    Kernels,
    Word2VecStruct,
    address,
    in_threads,
    load_library,
)
from homespun.classic.vectors.vocabulary import (
    EncodedText,
    Vocabulary,
    check_numbers,
    encode_sentences,
)
from homespun.classic.vectors.word2vec_reference import (
    Word2VecWeights,
    learn_sentences_reference,
    sigmoid_table,
)
from homespun.core import ConfigError, DataError, derive_seed

MAX_NEGATIVE = 64
"""As in vectors.c."""


class Word2Vec:
    """Word vectors that predict neighbours (Mikolov et al. 2013a and b).

    With one thread the result is a function of the arguments and the text. More threads write
    into the same weights without waiting, and no two runs are alike.

    Args:
        dim: width of a vector.
        kind: "skipgram" predicts a word from each neighbour, "cbow" from their mean.
        window: neighbours to each side; how many is drawn from 1 to this for every word.
        negative: words drawn as wrong answers for each right one, 1 to 64.
        subsample: a word of share f of the text stays with probability
            sqrt(t/f) + t/f, t being this; 0 keeps all. The paper has 1e-5 for billions of words.
        learning_rate: at the beginning; falls in a line to a thousandth. None is 0.025 for
            skip-gram and 0.05 for CBOW, as in the authors' program.
        epochs: passes over the text.
        min_count, max_size: see `encode_sentences`.
        seed: of first weights and all draws.
        num_threads: how many learn at once.
        kernels: compiled loops or their slow twin.

    Attributes after `fit`:
        vectors_: the `WordVectors`. vocabulary_: words and counts. output_VD_: the other half of
        the weights, float32. num_words_: words of the text that were learned from, in one epoch.
    """

    vectors_: WordVectors
    vocabulary_: Vocabulary
    output_VD_: NDArray[np.float32]
    num_words_: int

    def __init__(  # noqa: PLR0913 - plain values, one an option
        self,
        dim: int = 100,
        *,
        kind: Literal["skipgram", "cbow"] = "skipgram",
        window: int = 5,
        negative: int = 5,
        subsample: float = 1e-3,
        learning_rate: float | None = None,
        epochs: int = 5,
        min_count: int = 5,
        max_size: int | None = None,
        seed: int = 0,
        num_threads: int = 1,
        kernels: Kernels = "auto",
    ) -> None:
        self.dim = dim
        self.kind = kind
        self.window = window
        self.negative = negative
        self.subsample = subsample
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.min_count = min_count
        self.max_size = max_size
        self.seed = seed
        self.num_threads = num_threads
        self.kernels: Kernels = kernels

    def fit(self, sentences: Iterable[Iterable[str]]) -> Self:
        """Learn from lists of words; a generator will do, it is read once.

        Raises:
            ConfigError: an argument is out of range, or kernels cannot be had.
            DataError: no word is left, or the vectors ran away to infinity.
        """
        self._check()
        return self.fit_encoded(
            encode_sentences(sentences, min_count=self.min_count, max_size=self.max_size)
        )

    def fit_encoded(self, text: EncodedText) -> Self:
        """The same from text that was numbered before.

        Raises:
            DataError: as `fit`, or a number is of no word of its vocabulary.
        """
        self._check()
        check_numbers(text.tokens_N, text.vocabulary)
        library = load_library(self.kernels)
        weights = self._first_weights(text.vocabulary)
        first_rate = self.learning_rate or (0.025 if self.kind == "skipgram" else 0.05)
        last_rate = first_rate / 1000
        for epoch in range(self.epochs):
            rates = tuple(
                first_rate + (last_rate - first_rate) * at / self.epochs
                for at in (epoch, epoch + 1)
            )
            self._epoch(library, weights, text, (rates[0], rates[1]), epoch)
        if not np.isfinite(weights.input_VD).all():
            raise DataError(
                "the vectors ran away to infinity",
                got=f"learning rate {first_rate}",
                remedy="give a smaller learning rate",
            )
        self.vocabulary_ = text.vocabulary
        self.output_VD_ = weights.output_VD
        self.num_words_ = len(text.tokens_N)
        self.vectors_ = WordVectors(text.vocabulary.words, weights.input_VD)
        return self

    def _check(self) -> None:
        for name in ("dim", "window", "negative", "epochs", "num_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is below 1", got=getattr(self, name), remedy="give 1 or more"
                )
        if self.negative > MAX_NEGATIVE:
            raise ConfigError(
                "too many negative words", got=self.negative, remedy=f"give up to {MAX_NEGATIVE}"
            )
        if self.kind not in ("skipgram", "cbow"):
            raise ConfigError("no such kind", got=self.kind, remedy="choose skipgram or cbow")
        if self.subsample < 0 or (self.learning_rate is not None and self.learning_rate <= 0):
            raise ConfigError(
                "subsample is below 0 or the learning rate is not above it",
                got=f"{self.subsample} and {self.learning_rate}",
                remedy="give, for example, 1e-3 and 0.025",
            )

    def _first_weights(self, vocabulary: Vocabulary) -> Word2VecWeights:
        counts_V = vocabulary.counts_V.astype(np.float64)
        coin_V, other_V = alias_table(counts_V**0.75)
        input_VD = random_weights(derive_seed(self.seed, "vectors"), len(vocabulary), self.dim)
        return Word2VecWeights(
            input_VD=input_VD,
            output_VD=np.zeros_like(input_VD),
            keep_V=keep_limits(counts_V, self.subsample),
            coin_V=coin_V,
            other_V=other_V,
            sigmoid=sigmoid_table(),
            window=self.window,
            negative=self.negative,
            cbow=self.kind == "cbow",
        )

    def _epoch(
        self,
        library: ctypes.CDLL | None,
        weights: Word2VecWeights,
        text: EncodedText,
        rates: tuple[float, float],
        epoch: int,
    ) -> None:
        num_threads = self.num_threads if library else 1
        # Shares of the words, not of the sentences, which differ in length.
        shares = np.linspace(0, len(text.tokens_N), num_threads + 1)
        bounds = np.searchsorted(text.starts_S, shares).tolist()

        def work(number: int) -> None:
            sentences = (bounds[number], bounds[number + 1])
            if sentences[0] == sentences[1]:
                return
            seed = derive_seed(self.seed, "epoch", epoch, "thread", number)
            if library is None:
                learn_sentences_reference(
                    weights, text.tokens_N, text.starts_S, sentences, rates, seed
                )
            else:
                _learn_native(library, weights, text, sentences, rates, seed)

        in_threads(work, num_threads)


def _learn_native(
    library: ctypes.CDLL,
    weights: Word2VecWeights,
    text: EncodedText,
    sentences: tuple[int, int],
    rates: tuple[float, float],
    seed: int,
) -> None:
    """`learn_sentences_reference`, compiled."""
    num_words, dim = weights.input_VD.shape
    struct = Word2VecStruct(
        dim=dim,
        window=weights.window,
        negative=weights.negative,
        num_words=num_words,
        cbow=int(weights.cbow),
        keep=address(weights.keep_V, np.uint32),
        coin=address(weights.coin_V, np.uint32),
        other=address(weights.other_V, np.int32),
        sigmoid=address(weights.sigmoid, np.float32),
        input=address(weights.input_VD, np.float32),
        output=address(weights.output_VD, np.float32),
    )
    longest = int(np.diff(text.starts_S).max())
    scratch, kept = np.empty(2 * dim, np.float32), np.empty(longest, np.int32)
    library.homespun_word2vec(
        ctypes.byref(struct),
        address(text.tokens_N, np.int32),
        address(text.starts_S, np.int64),
        *sentences,
        *rates,
        seed,
        address(scratch, np.float32),
        address(kept, np.int32),
    )
