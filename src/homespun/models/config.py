"""What a decoder looks like, how it is put together, and the sizes that have names."""

from __future__ import annotations

import math
from typing import Self

import torch
from pydantic import model_validator
from torch import nn

from homespun.core import Config, ConfigError, did_you_mean
from homespun.models.attention import Attention
from homespun.models.decoder import Block, Decoder
from homespun.models.embedding import Embedding
from homespun.models.linear import Linear
from homespun.models.mlp import SwiGLU
from homespun.models.norm import RMSNorm
from homespun.models.position import RotaryTables

LONGEST_CONTEXT = 131_072
"""Beyond this rotary tables alone take gigabytes, and plain attention is the wrong tool."""


class DecoderConfig(Config):
    """Shape of a `Decoder`.

    Attributes:
        vocab_size: number of token ids.
        num_layers: number of blocks.
        width: of the residual stream.
        num_heads: query heads of each block.
        num_kv_heads: key-value heads, divides `num_heads`.
        head_width: of a head, even; `num_heads · head_width` need not be `width`.
        mlp_width: gated units of each block.
        context: longest sequence in tokens.
        rope_base: base of the rotary wavelengths; 10000 as in the RoPE paper.
        tied: the head reuses the embedding's table.
        qk_norm: normalise query and key heads, as Qwen3 does.
        norm_eps: eps of all norms.
    """

    vocab_size: int
    num_layers: int
    width: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    mlp_width: int
    context: int
    rope_base: float = 10_000.0
    tied: bool = True
    qk_norm: bool = True
    norm_eps: float = 1e-6

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, value in self:
            if not isinstance(value, bool) and value <= 0:
                raise ConfigError(f"{name} must be positive", got=value, remedy="give 1 or more")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"num_kv_heads must divide num_heads = {self.num_heads}",
                got=self.num_kv_heads,
                remedy="choose a divisor, or num_heads itself",
            )
        if self.head_width % 2:
            raise ConfigError(
                "head_width must be even, since rotary positions turn pairs",
                got=self.head_width,
                remedy="choose a multiple of 2; multiples of 32 are fastest",
            )
        if not 2 <= self.context <= LONGEST_CONTEXT:
            raise ConfigError(
                f"context must be 2 to {LONGEST_CONTEXT} tokens",
                got=self.context,
                remedy="choose one in that range, 256 to 2048 for small models",
            )
        if self.rope_base <= 1:
            raise ConfigError(
                "rope_base must be greater than 1", got=self.rope_base, remedy="the usual is 10000"
            )
        return self

    def build(self, generator: torch.Generator) -> Decoder:
        """A new model with random weights, a function of the config and `generator` alone."""
        model = self.empty()
        initialise(model, generator)
        return model

    def empty(self) -> Decoder:
        """A model with undefined weights, to load others into."""
        blocks = [
            Block(
                Attention(
                    self.width,
                    self.num_heads,
                    self.num_kv_heads,
                    self.head_width,
                    qk_norm=self.qk_norm,
                    norm_eps=self.norm_eps,
                ),
                SwiGLU(self.width, self.mlp_width),
                RMSNorm(self.width, self.norm_eps),
                RMSNorm(self.width, self.norm_eps),
            )
            for _ in range(self.num_layers)
        ]
        return Decoder(
            Embedding(self.vocab_size, self.width),
            blocks,
            RMSNorm(self.width, self.norm_eps),
            None if self.tied else Linear(self.width, self.vocab_size),
            RotaryTables(self.num_heads, self.head_width, self.rope_base, self.context),
        )


def initialise(model: Decoder, generator: torch.Generator) -> None:
    """Set all weights of `model` from `generator`, in the order of its parameters.

    Matrices are N(0, 1/fan-in), so that every product keeps the size of its input. The two
    projections that write to the residual stream start at zero, so that every block starts as the
    identity (ReZero, arXiv 2003.04887; µP, arXiv 2203.03466, appendix D.2). Tables are N(0, 0.02²)
    as in GPT-2 and Qwen3: with a tied head, larger ones would start by predicting each token to
    repeat. Norms start at one.
    """
    tables = {id(model.embedding.weight), id(model.head_weight)}
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.dim() == 1:
                nn.init.ones_(parameter)
            elif id(parameter) in tables:
                parameter.normal_(0.0, 0.02, generator=generator)
            elif name.endswith(("attention.out.weight", "mlp.down.weight")):
                nn.init.zeros_(parameter)
            else:
                parameter.normal_(0.0, 1 / math.sqrt(parameter.shape[1]), generator=generator)


# name: layers, width, heads, key-value heads, head width, mlp width, vocabulary the name counts
_SIZES: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "0.2m": (3, 64, 2, 2, 32, 160, 512),
    "0.5m": (4, 96, 3, 3, 32, 256, 1024),
    "1m": (4, 128, 4, 4, 32, 352, 2048),
    "2m": (6, 160, 5, 5, 32, 416, 2048),
    "4m": (8, 192, 6, 6, 32, 512, 4096),
    "8m": (9, 256, 4, 4, 64, 704, 4096),
    "15m": (10, 320, 5, 5, 64, 896, 8192),
    "30m": (12, 448, 7, 7, 64, 1216, 8192),
    "60m": (16, 512, 8, 4, 64, 1408, 16384),
    "125m": (18, 704, 11, 11, 64, 1920, 16384),
    "350m": (24, 1024, 16, 8, 64, 2816, 32768),
    "1b": (24, 1792, 14, 7, 128, 4864, 32768),
}


def decoder_sizes() -> list[str]:
    """Names that `decoder_size` knows, smallest first."""
    return list(_SIZES)


def decoder_size(name: str, *, vocab_size: int | None = None, context: int = 256) -> DecoderConfig:
    """The shape that goes by `name`, which is its number of parameters at its usual vocabulary.

    Args:
        name: one of `decoder_sizes()`.
        vocab_size: of the tokenizer; None takes the vocabulary the name counts with.
        context: longest sequence in tokens.

    Raises:
        ConfigError: there is no such size.
    """
    if name.lower() not in _SIZES:
        raise ConfigError(
            "there is no model size of that name",
            got=name,
            remedy=did_you_mean(name.lower(), list(_SIZES)),
        )
    layers, width, heads, kv_heads, head_width, mlp_width, vocabulary = _SIZES[name.lower()]
    return DecoderConfig(
        vocab_size=vocab_size or vocabulary,
        num_layers=layers,
        width=width,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_width=head_width,
        mlp_width=mlp_width,
        context=context,
    )
