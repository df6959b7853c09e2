"""Decoders of any width and depth, for sweeps and plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from homespun.scaling.grid import Size
from homespun.scaling.rules import layers_for

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

Preset = Literal["portable", "fast"]
PRESET: Preset = "portable"


def decoder_shape(
    *,
    width: int,
    num_layers: int | None = None,
    vocab_size: int,
    context: int,
    preset: Preset = PRESET,
) -> DecoderConfig:
    """`models.decoder_shape`, with the depth that goes with a width unless one is given; a fast
    one has room for an n-gram table."""
    from homespun import models

    return models.decoder_shape(
        width=width,
        num_layers=num_layers or layers_for(width),
        vocab_size=vocab_size,
        context=context,
        preset=preset,
        changes=changes_for(preset),
    )


def changes_for(preset: Preset) -> dict[str, Any]:
    """What a plan's models have beyond `models.preset_options`: a fast one a table of counts, which
    makes its other tables superfluous (LOG.md)."""
    if preset == "portable":
        return {}
    return {"ngram_prior": True, "bigram_rows": 0, "value_embeddings": False, "smear": True}


def shape_name(config: DecoderConfig) -> str:
    """ "128x5": width and layers."""
    return f"{config.width}x{config.num_layers}"


def size_of(config: DecoderConfig) -> Size:
    """What a shape counts and costs."""
    from homespun.models import train_flops_per_token

    return Size(
        config.width,
        config.num_layers,
        multiplied_parameters(config),
        float(train_flops_per_token(config)),
    )


def multiplied_parameters(config: DecoderConfig) -> int:
    """Parameters that every token is multiplied by: the blocks' matrices and the head.

    What the law calls N. With a tied table it is all of them but the norms; tables that are only
    looked up cost no operations and are left out.
    """
    from homespun.models import parameters_by_kind

    return parameters_by_kind(config).matrix + config.vocab_size * config.width
