"""How large an encoder-decoder is, and with how many marks pieces are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homespun.core import ConfigError
from homespun.recipes.counted.trained import width_and_layers

if TYPE_CHECKING:
    from homespun.models import EncoderDecoderConfig

CONTEXT = 256
ROWS = 8
NUM_MARKS = 32
"""Pieces of a row at most: 15% of 256 tokens in pieces of three are thirteen."""
_HEAD_WIDTH = 64


def rewriter_shape(size: str, *, vocab_size: int) -> EncoderDecoderConfig:
    """The shape of a size, as "256x4": width, and layers of each half. Parts are those that
    `finetune translate` learns with from nothing: rotary positions, norms first, squared ReLU.

    Args:
        vocab_size: marks of pieces included.

    Raises:
        ConfigError: it is no size, or the width is no multiple of 64.
    """
    from homespun.models import EncoderDecoderConfig

    width, num_layers = width_and_layers(size)
    if width == 0 or num_layers == 0 or width % _HEAD_WIDTH or width > 4096:
        raise ConfigError(
            "an encoder-decoder's size is its width, a multiple of 64, and the layers of each half",
            got=size,
            remedy="give 128x4 or 256x4, for example",
        )
    return EncoderDecoderConfig(
        vocab_size=vocab_size,
        num_layers=num_layers,
        num_writer_layers=num_layers,
        width=width,
        num_heads=width // _HEAD_WIDTH,
        head_width=_HEAD_WIDTH,
        mlp_width=4 * width,
        context=CONTEXT,
        positions="rotary",
        norm="rms",
        norm_first=True,
        norm_eps=1e-6,
        activation="relu2",
        bias=False,
        scaled="none",
    )
