"""word2vec's inner loop, slow and obvious: what vectors.c does, number for number.

Shape letters: V words, D width, N tokens, S sentences and one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors.draws import SplitMix64

SIGMOID_LIMIT = 8
SIGMOID_STEPS = 64


class Word2VecWeights(NamedTuple):
    """Everything that learning reads or moves.

    Attributes:
        input_VD, output_VD: float32, moved in place.
        keep_V: uint32; a word stays where 32 random bits are at most this.
        coin_V, other_V: alias table of the negative words.
        sigmoid: float32, as `sigmoid_table` makes it.
        window, negative: the widest reach to each side; negative words a pair.
        cbow: predict a word from the mean of its neighbours, not from each of them.
    """

    input_VD: NDArray[np.float32]
    output_VD: NDArray[np.float32]
    keep_V: NDArray[np.uint32]
    coin_V: NDArray[np.uint32]
    other_V: NDArray[np.int32]
    sigmoid: NDArray[np.float32]
    window: int
    negative: int
    cbow: bool


def sigmoid_table() -> NDArray[np.float32]:
    """1 / (1 + exp(-x)) from -8 to 8; between its points a line errs by less than 4e-6."""
    num = 2 * SIGMOID_LIMIT * SIGMOID_STEPS
    x = np.arange(num + 1) / SIGMOID_STEPS - SIGMOID_LIMIT
    return (1 / (1 + np.exp(-x))).astype(np.float32)


def learn_sentences_reference(
    weights: Word2VecWeights,
    tokens_N: NDArray[np.int32],
    starts_S: NDArray[np.int64],
    sentences: tuple[int, int],
    rates: tuple[float, float],
    seed: int,
) -> None:
    """Learn from sentences `[first, last)`, the rate falling from the first to the second.

    A pair is (input word, word to predict). With it come `negative` words drawn in proportion to
    count^0.75, and each target's output row and the input move along the gradient of
    log sigmoid(u·h) + sum log sigmoid(-u_k·h) (Mikolov et al. 2013b, equation 4).
    """
    first, last = sentences
    random = SplitMix64(seed)
    total = float(starts_S[last] - starts_S[first])
    for s in range(first, last):
        done = float(starts_S[s] - starts_S[first]) / total
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * done)
        sentence = tokens_N[starts_S[s] : starts_S[s + 1]]
        kept = [int(word) for word in sentence if random.next() >> 32 <= weights.keep_V[word]]
        for at, word in enumerate(kept):
            reach = 1 + ((random.next() >> 32) * weights.window >> 32)
            context = kept[max(at - reach, 0) : at] + kept[at + 1 : at + reach + 1]
            if weights.cbow and context:
                share = np.float32(1) / np.float32(len(context))
                hidden = np.zeros_like(weights.input_VD[0])
                for near in context:
                    hidden += share * weights.input_VD[near]
                change = _learn_pair(weights, hidden, word, rate, random)
                # Each neighbour moves by all of it, as in the authors' program.
                for near in context:
                    weights.input_VD[near] += change
            elif not weights.cbow:
                for near in context:
                    hidden = weights.input_VD[near].copy()
                    weights.input_VD[near] += _learn_pair(weights, hidden, word, rate, random)


def _learn_pair(
    weights: Word2VecWeights,
    hidden_D: NDArray[np.float32],
    word: int,
    rate: np.float32,
    random: SplitMix64,
) -> NDArray[np.float32]:
    """Move the output rows; returns what the input should move by."""
    targets = [word]
    for _ in range(weights.negative):
        bits = random.next()
        cell = (bits >> 32) * len(weights.coin_V) >> 32
        low = bits & 0xFFFFFFFF
        drawn = cell if low < weights.coin_V[cell] else int(weights.other_V[cell])
        if drawn != word:
            targets.append(drawn)
    scores = [np.dot(hidden_D, weights.output_VD[target]) for target in targets]
    change_D = np.zeros_like(hidden_D)
    for number, (target, score) in enumerate(zip(targets, scores, strict=True)):
        step = rate * (np.float32(number == 0) - _sigmoid(weights.sigmoid, score))
        change_D += step * weights.output_VD[target]
        weights.output_VD[target] += step * hidden_D
    return change_D


def _sigmoid(table: NDArray[np.float32], x: np.float32) -> np.float32:
    if x >= SIGMOID_LIMIT:
        return np.float32(1)
    if not x > -SIGMOID_LIMIT:
        return np.float32(0)
    at = (x + np.float32(SIGMOID_LIMIT)) * np.float32(SIGMOID_STEPS)
    cell = int(at)
    value: np.float32 = table[cell] + (at - np.float32(cell)) * (table[cell + 1] - table[cell])
    return value
