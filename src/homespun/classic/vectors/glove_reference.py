"""GloVe's inner loop, slow and obvious: what vectors.c does, number for number.

Shape letters: V words, D width, K pairs. Rows 0 .. V-1 are words, rows V .. 2V-1 the same words
as contexts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GloveWeights(NamedTuple):
    """Everything that learning moves, in place, float32.

    Attributes:
        vectors_RD, biases_R: of words and contexts, R = 2V.
        squares_RD, bias_squares_R: AdaGrad's sums.
    """

    vectors_RD: NDArray[np.float32]
    squares_RD: NDArray[np.float32]
    biases_R: NDArray[np.float32]
    bias_squares_R: NDArray[np.float32]


class GlovePairs(NamedTuple):
    """Pairs to learn from, in order.

    Attributes:
        words_K, contexts_K: int32.
        logs_K, weights_K: float32, log X and f(X).
    """

    words_K: NDArray[np.int32]
    contexts_K: NDArray[np.int32]
    logs_K: NDArray[np.float32]
    weights_K: NDArray[np.float32]


def learn_pairs_reference(weights: GloveWeights, pairs: GlovePairs, rate: float) -> None:
    """One AdaGrad step a pair on f(X) (w·c + b + d - log X)^2 / 2.

    Source: Pennington, Socher & Manning 2014, equation 8; Duchi, Hazan & Singer 2011. The sums
    are of rate * gradient, and begin at 1, as in the authors' program.
    """
    vectors, squares, biases, bias_squares = weights
    num_words = len(biases) // 2
    for word, context, log, weight in zip(*pairs, strict=True):
        a, b = word, num_words + context
        gap = np.dot(vectors[a], vectors[b]) + biases[a] + biases[b] - log
        scale = np.float32(rate) * weight * gap
        to_a, to_b = scale * vectors[b], scale * vectors[a]
        vectors[a] -= to_a / np.sqrt(squares[a])
        vectors[b] -= to_b / np.sqrt(squares[b])
        squares[a] += to_a * to_a
        squares[b] += to_b * to_b
        for row in (a, b):
            biases[row] -= scale / np.sqrt(bias_squares[row])
            bias_squares[row] += scale * scale
