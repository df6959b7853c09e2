"""Rows of embedding and head for new tokens.

Shape letters: V old vocabulary, V' new vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from homespun.core import ConfigError
from homespun.models.config import DecoderConfig

_TABLES = ("embedding.weight", "unembedding.weight")


@torch.no_grad()
def extend_tables(
    tensors: Mapping[str, Tensor], pieces: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Weights of a model with a larger vocabulary.

    Args:
        tensors: of the model as it is.
        pieces: for each new id the old ids it stands for: one for a token that was there, several
            for a new one, whose row is the mean of theirs.

    Raises:
        ConfigError: a table other than embedding and head has a row a token.
    """
    vocab_size = tensors["embedding.weight"].shape[0]
    larger = {}
    for name, tensor in tensors.items():
        if name in _TABLES:
            larger[name] = torch.stack([tensor[list(old)].mean(0) for old in pieces])
        elif tensor.dim() > 1 and tensor.shape[0] == vocab_size and not name.startswith("blocks."):
            raise ConfigError(
                "this model has a table whose rows cannot be extended",
                got=name,
                remedy="begin with a model of the portable kind (`spin --portable`)",
            )
        else:
            larger[name] = tensor.clone()
    return larger


def extended_config(config: DecoderConfig, vocab_size: int) -> DecoderConfig:
    """Raises ConfigError where the model has a part that depends on ids."""
    from homespun.models.reshape.grow import check_plain

    check_plain(config, "given a larger vocabulary")
    return config.model_copy(update={"vocab_size": vocab_size})
