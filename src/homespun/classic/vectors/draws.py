"""SplitMix64: random numbers that the C code and its slow twin draw alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


class SplitMix64:
    """A counter, mixed (Steele, Lea & Flood 2014, "Fast splittable pseudorandom generators").

    Args:
        seed: any whole number; its low 64 bits count.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def next(self) -> int:
        """64 random bits."""
        self._state = (self._state + _GAMMA) & _MASK
        z = self._state
        z = (z ^ (z >> 30)) * _FIRST & _MASK
        z = (z ^ (z >> 27)) * _SECOND & _MASK
        return z ^ (z >> 31)


def random_bits(seed: int, num: int) -> NDArray[np.uint64]:
    """The first `num` numbers of `SplitMix64(seed)`, all at once."""
    with np.errstate(over="ignore"):
        z = np.arange(1, num + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(seed & _MASK)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return z ^ (z >> np.uint64(31))


def random_weights(seed: int, rows: int, dim: int) -> NDArray[np.float32]:
    """Uniform in [-0.5, 0.5) / dim, shape (rows, dim): as word2vec and GloVe begin."""
    bits = (random_bits(seed, rows * dim) >> np.uint64(40)).astype(np.float32)
    weights: NDArray[np.float32] = (bits / np.float32(1 << 24) - np.float32(0.5)) / np.float32(dim)
    return weights.reshape(rows, dim)


def alias_table(weights_V: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Walker's alias method (1977): a draw in proportion to weights from one random number.

    Args:
        weights_V: not negative, with a sum above 0.

    Returns:
        coin_V and other_V: draw a cell evenly and 32 bits; below the coin the cell itself was
        drawn, else its other.
    """
    num = len(weights_V)
    scaled = [float(weight) for weight in weights_V * (num / weights_V.sum())]
    coin = np.full(num, (1 << 32) - 1, np.uint32)
    other = np.arange(num, dtype=np.int32)
    small = [cell for cell in range(num) if scaled[cell] < 1]
    large = [cell for cell in range(num) if scaled[cell] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        coin[low] = int(scaled[low] * (1 << 32))
        other[low] = high
        scaled[high] -= 1 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    return coin, other


def keep_limits(counts_V: NDArray[np.float64], subsample: float) -> NDArray[np.uint32]:
    """What 32 random bits may be at most for a word to stay.

    The probability is that of the authors' program, sqrt(t/f) + t/f; the paper's equation 5,
    sqrt(t/f), keeps fewer of the frequent words.
    """
    most = (1 << 32) - 1
    if subsample == 0:
        return np.full(len(counts_V), most, np.uint32)
    share_V = subsample * counts_V.sum() / counts_V
    chance_V = np.minimum(np.sqrt(share_V) + share_V, 1)
    limits_V: NDArray[np.uint32] = np.floor(chance_V * most).astype(np.uint32)
    return limits_V
