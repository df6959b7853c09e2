"""Uniform numbers that are a function of seed, place in the answer and token.

No generator is kept, so nothing can get out of step: a row that is computed alone, in a batch,
again after its cache was taken away, or guessed ahead, meets the same numbers.

V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
"""Increment and multipliers of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators", figure 1, with the constants of variant 13)."""
_MASK = 2**64 - 1


def mixed(value: int) -> int:
    """SplitMix64's output function of one 64-bit number."""
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def place_key(seed: int, place: int) -> int:
    """What the noise of token `place` of an answer starts from; 64 bits."""
    return mixed((mixed((seed + _GOLDEN) & _MASK) + (place + 1) * _GOLDEN) & _MASK)


def draw_noise(seed: int, place: int, vocab_size: int) -> Tensor:
    """A number in (0, 1) for each token, (V,) in float32: the middles of 2²³ equal parts, which
    float32 holds exactly."""
    with np.errstate(over="ignore"):
        value = _steps(vocab_size) + np.uint64(place_key(seed, place))
        value ^= value >> np.uint64(30)
        value *= np.uint64(_FIRST)
        value ^= value >> np.uint64(27)
        value *= np.uint64(_SECOND)
        value ^= value >> np.uint64(31)
    parts = (value >> np.uint64(41)).astype(np.float32)
    return torch.from_numpy((parts + np.float32(0.5)) * np.float32(2.0**-23))


def noise_obvious(seed: int, place: int, token: int) -> float:
    """The slow version, of one token, in Python's integers."""
    value = mixed((place_key(seed, place) + (token + 1) * _GOLDEN) & _MASK)
    return ((value >> 41) + 0.5) / 2**23


def _steps(vocab_size: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.arange(1, vocab_size + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
