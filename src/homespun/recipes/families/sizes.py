"""How large a family's model is for the minutes it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

TOKENS_PER_NUMBER = 20.0
"""Tokens read for each number of a matrix (Hoffmann et al. 2022, arXiv 2203.15556, table 3)."""


class Size(NamedTuple):
    """Attributes:
    width: of what goes from layer to layer.
    layers: blocks, or recurrent layers.
    """

    width: int
    layers: int

    def __str__(self) -> str:
        return f"{self.width} wide, {self.layers} layers"


REFERENCE = Size(128, 4)
TRANSFORMERS = tuple(
    Size(*size)
    for size in ((64, 2), (64, 3), (128, 3), REFERENCE, (192, 4), (256, 4), (256, 6), (384, 6),
                 (512, 8))
)  # fmt: skip
"""Sizes of whatever has attention; the speed of the fourth is measured."""
STATES, STATES_SECONDS, _STEP = 128, 600.0, 32


def suiting(
    sizes: Sequence[Size], numbers: Callable[[Size], float], *, reference: Size, tokens: float
) -> Size:
    """The size that reads `TOKENS_PER_NUMBER` tokens for each of its numbers within the time.

    The operations at hand are 6 for each number and token that the reference reads in the time.
    A model of N numbers reads 20 N tokens with them where N = √(numbers · tokens / 20) of the
    reference; of the sizes the nearest by ratio is taken. A decoder of 128x4 and 2,048 words has
    1.05 million numbers. Where it reads 13,000 tokens a second (measured on two cores of a Zen 4
    beside another run) two minutes give 64x3, ten 128x3, an hour 192x4; where it reads 60,000,
    128x3, 128x4 and 256x4.

    Args:
        sizes: to choose from.
        numbers: of a size's matrices that every token is multiplied with, the head's included.
        reference: the size that was measured.
        tokens: that it reads in the time.
    """
    wanted = math.sqrt(numbers(reference) * max(1.0, tokens) / TOKENS_PER_NUMBER)
    return min(sizes, key=lambda size: abs(math.log(numbers(size) / wanted)))


def transformer_numbers(vocab_size: int) -> Callable[[Size], float]:
    """Numbers of a size with feed-forward layers four times as wide: 12 · layers · width², and the
    head."""
    return lambda size: 12.0 * size.layers * size.width**2 + vocab_size * size.width


def recurrent_sizes(cell: str) -> tuple[Size, ...]:
    """One layer of one of ten widths, from a third to four times the usual one: 320, or 512 of a
    cell without gates."""
    widths = [128, 192, 256, 320, 384, 512, 640, 768, 1024, 1280]
    return tuple(Size(width, 1) for width in (widths if cell != "rnn" else [*widths[1:], 1536]))


def recurrent_reference(cell: str) -> Size:
    return Size(512 if cell == "rnn" else 320, 1)


def recurrent_numbers(cell: str, vocab_size: int) -> Callable[[Size], float]:
    """Numbers of a size: two square matrices a gate (1, 3 or 4 of RNN, GRU, LSTM), and the head."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    return lambda size: 2.0 * gates * size.layers * size.width**2 + vocab_size * size.width


def hidden_states(seconds: float) -> int:
    """States of a hidden Markov model: 128 for ten minutes, and otherwise as many as read the same
    number of tokens, each costing their square; a multiple of 32 from 32 to 512."""
    wanted = STATES * math.sqrt(seconds / STATES_SECONDS)
    return int(min(512, max(_STEP, _STEP * round(wanted / _STEP))))
