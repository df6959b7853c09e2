"""GloVe: vectors whose products are the logarithms of how often words stand together.

Shape letters: V words, D width, K pairs, R = 2V rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors.cooccurrence import Cooccurrences, count_cooccurrences
from homespun.classic.vectors.draws import random_weights
from homespun.classic.vectors.glove_reference import (
    GlovePairs,
    GloveWeights,
    learn_pairs_reference,
)
from homespun.classic.vectors.keyed import WordVectors
from homespun.classic.vectors.native import (
    GloveStruct,
    Kernels,
    address,
    in_threads,
    load_library,
)
from homespun.classic.vectors.vocabulary import (
    EncodedText,
    Vocabulary,
    check_numbers,
    encode_sentences,
    thin_text,
)
from homespun.core import ConfigError, DataError, derive_seed, permutation

_BLOCK = 1 << 20  # pairs gathered at a time
_LEAST_SUBSAMPLE, _NEVER_LEFT_OUT = 1e-4, 600


class GloVe:
    """Word vectors from counts of neighbours (Pennington, Socher & Manning 2014).

    With one thread the result is a function of the arguments and the text. More threads write
    into the same weights without waiting, and no two runs are alike.

    Args:
        dim: width of a vector.
        window: neighbours to each side; each counts 1/distance.
        x_max: counts above it weigh no more (equation 9); the paper's 100 is for billions of words.
        alpha: counts below weigh (count / x_max)^alpha.
        subsample: leave out most of the frequent words before counting, as `Word2Vec` does; not in
            the paper (Levy, Goldberg & Dagan 2015, section 3.1). 0 leaves none out, None what
            `usual_subsample` says.
        learning_rate: AdaGrad's.
        epochs: passes over the pairs, each in an order of its own.
        min_count, max_size: see `encode_sentences`.
        seed: of first weights and orders.
        num_threads: how many learn at once.
        kernels: compiled loops or their slow twin.

    Attributes after `fit`:
        vectors_: the `WordVectors`, words plus contexts. vocabulary_: words and counts.
        loss_: mean weighted squared error / 2 of the pairs after the last epoch.
        num_pairs_: nonzero counts.
    """

    vectors_: WordVectors
    vocabulary_: Vocabulary
    loss_: float
    num_pairs_: int

    def __init__(  # noqa: PLR0913 - plain values, one an option
        self,
        dim: int = 100,
        *,
        window: int = 10,
        x_max: float = 100.0,
        alpha: float = 0.75,
        subsample: float | None = 0.0,
        learning_rate: float = 0.05,
        epochs: int = 25,
        min_count: int = 5,
        max_size: int | None = None,
        seed: int = 0,
        num_threads: int = 1,
        kernels: Kernels = "auto",
    ) -> None:
        self.dim = dim
        self.window = window
        self.x_max = x_max
        self.alpha = alpha
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
            DataError: no word or no pair is left, or the vectors ran away to infinity.
        """
        self._check()
        return self.fit_encoded(
            encode_sentences(sentences, min_count=self.min_count, max_size=self.max_size)
        )

    def fit_encoded(self, text: EncodedText) -> Self:
        """The same from text that was numbered before."""
        self._check()
        share = self.subsample
        if share is None:
            share = usual_subsample(len(text.tokens_N))
        if share:
            text = thin_text(text, share, derive_seed(self.seed, "subsample"))
        return self.fit_counts(text.vocabulary, count_cooccurrences(text, self.window))

    def fit_counts(self, vocabulary: Vocabulary, counts: Cooccurrences) -> Self:
        """The same from counts, whatever they are of; each above 0.

        Raises:
            DataError: as `fit`, or a count is not above 0 or of no word of the vocabulary.
        """
        self._check()
        if not len(counts.values_K):
            raise DataError("no two words stand together", remedy="give longer sentences")
        check_numbers(counts.words_K, vocabulary)
        check_numbers(counts.contexts_K, vocabulary)
        if not counts.values_K.min() > 0:
            raise DataError(
                "a count is not above 0",
                got=float(counts.values_K.min()),
                remedy="leave out pairs that never stand together",
            )
        library = load_library(self.kernels)
        num_rows = 2 * len(vocabulary)
        first = random_weights(derive_seed(self.seed, "vectors"), num_rows, self.dim + 1)
        weights = GloveWeights(
            vectors_RD=first[:, 1:].copy(),
            squares_RD=np.ones((num_rows, self.dim), np.float32),
            biases_R=first[:, 0].copy(),
            bias_squares_R=np.ones(num_rows, np.float32),
        )
        for epoch in range(self.epochs):
            order_K = permutation(self.seed, epoch, len(counts.values_K))
            for pairs in self._blocks(counts, order_K):
                self._learn(library, weights, pairs)
        vectors_RD = weights.vectors_RD
        if not np.isfinite(vectors_RD).all():
            raise DataError(
                "the vectors ran away to infinity",
                got=f"learning rate {self.learning_rate}",
                remedy="give a smaller learning rate",
            )
        self.vocabulary_ = vocabulary
        self.num_pairs_ = len(counts.values_K)
        self.loss_ = glove_loss(weights, self._blocks(counts, np.arange(self.num_pairs_)))
        self.vectors_ = WordVectors(
            vocabulary.words, vectors_RD[: len(vocabulary)] + vectors_RD[len(vocabulary) :]
        )
        return self

    def _check(self) -> None:
        for name in ("dim", "window", "epochs", "num_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is below 1", got=getattr(self, name), remedy="give 1 or more"
                )
        if self.subsample is not None and self.subsample < 0:
            raise ConfigError("subsample is below 0", got=self.subsample, remedy="give 0 or more")
        for name in ("x_max", "alpha", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is not above 0", got=getattr(self, name), remedy="give more"
                )

    def _blocks(self, counts: Cooccurrences, order_K: NDArray[np.int64]) -> Iterator[GlovePairs]:
        """The pairs in an order, some at a time."""
        for start in range(0, len(order_K), _BLOCK):
            at = order_K[start : start + _BLOCK]
            values = counts.values_K[at]
            yield GlovePairs(
                counts.words_K[at],
                counts.contexts_K[at],
                np.log(values),
                np.minimum((values / np.float32(self.x_max)) ** np.float32(self.alpha), 1),
            )

    def _learn(self, library: ctypes.CDLL | None, weights: GloveWeights, pairs: GlovePairs) -> None:
        if library is None:
            learn_pairs_reference(weights, pairs, self.learning_rate)
            return
        bounds = np.linspace(0, len(pairs.words_K), self.num_threads + 1).astype(int).tolist()

        def work(number: int) -> None:
            part = slice(bounds[number], bounds[number + 1])
            share = GlovePairs(
                pairs.words_K[part],
                pairs.contexts_K[part],
                pairs.logs_K[part],
                pairs.weights_K[part],
            )
            _learn_native(library, weights, share, self.learning_rate)

        in_threads(work, self.num_threads)


def usual_subsample(num_words: int) -> float:
    """What serves texts of up to some ten million words: 1e-4, or what keeps all words that come up
    to 600 times, which in a short text is more.

    Args:
        num_words: of the text, those that are known.
    """
    return max(_LEAST_SUBSAMPLE, _NEVER_LEFT_OUT / max(num_words, 1))


def glove_loss(weights: GloveWeights, blocks: Iterable[GlovePairs]) -> float:
    """Mean of f(X) (w·c + b + d - log X)^2 / 2 (equation 8, a pair)."""
    total, num = 0.0, 0
    num_words = len(weights.biases_R) // 2
    for pairs in blocks:
        for start in range(0, len(pairs.words_K), 1 << 16):
            words, contexts, logs, shares = (array[start : start + (1 << 16)] for array in pairs)
            b = contexts + num_words
            products = np.einsum("kd,kd->k", weights.vectors_RD[words], weights.vectors_RD[b])
            gaps = products + weights.biases_R[words] + weights.biases_R[b] - logs
            total += float(0.5 * (shares * gaps * gaps).sum(dtype=np.float64))
            num += len(words)
    return total / num


def _learn_native(
    library: ctypes.CDLL, weights: GloveWeights, pairs: GlovePairs, rate: float
) -> None:
    """`learn_pairs_reference`, compiled."""
    num_rows, dim = weights.vectors_RD.shape
    struct = GloveStruct(
        dim=dim,
        num_words=num_rows // 2,
        vectors=address(weights.vectors_RD, np.float32),
        squares=address(weights.squares_RD, np.float32),
        biases=address(weights.biases_R, np.float32),
        bias_squares=address(weights.bias_squares_R, np.float32),
        rate=rate,
    )
    library.homespun_glove(
        ctypes.byref(struct),
        address(pairs.words_K, np.int32),
        address(pairs.contexts_K, np.int32),
        address(pairs.logs_K, np.float32),
        address(pairs.weights_K, np.float32),
        len(pairs.words_K),
    )
