"""What a decoder looks like, and how it is put together."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import nn

from homespun.core import Config, ConfigError
from homespun.models.attention import Attention
from homespun.models.decoder import Block, Decoder, Extras, Norm, SlidingWindow
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.extras import (
    BigramTable,
    ParameterKind,
    ResidualMix,
    Smear,
    ValueEmbeddings,
    layers_with_values,
)
from homespun.models.induction import begin_with_induction
from homespun.models.linear import Linear
from homespun.models.mlp import GELU, SquaredReLU, SwiGLU
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.position import RotaryTables
from homespun.models.prior import PriorStrength
from homespun.models.reshape.rope_scaling import RopeScaling

LONGEST_CONTEXT = 131_072
"""Beyond this rotary tables alone take gigabytes, and plain attention is the wrong tool."""


_MAY_BE_ZERO = ("bigram_rows", "dropout", "embedding_std", "head_std", "first_sliding_layer")
_STARTS_AT_ZERO = ("attention.out.weight", "mlp.down.weight")
# Learned factors: initial values of the first layer and of the last.
_FACTORS = {
    "mix.residual_L": (15.0, 5.0),  # hundredths above 1
    "mix.first_L": (0.2, 0.05),
    "mix.bigram_L": (0.1, 0.1),
}


class DecoderConfig(Config):
    """Shape of a `Decoder`.

    Attributes:
        vocab_size: number of token ids.
        num_layers: number of blocks.
        width: of the residual stream.
        num_heads: query heads of each block.
        num_kv_heads: key-value heads, divides `num_heads`.
        head_width: of a head, even; `num_heads · head_width` need not be `width`.
        mlp_width: units of each block's feed-forward layer.
        context: longest sequence in tokens.
        rope_base: base of the rotary wavelengths; 10000 as in the RoPE paper.
        rope_scaling: of the wavelengths, where the context was made longer; None for none.
        tied: the head reuses the embedding's table.
        qk_norm: normalise query and key heads, as Qwen3 does.
        norm_eps: eps of all norms.
        norm_weights: norms have weights to learn.
        activation: of the feed-forward layer, gated "swiglu" or ungated "relu2", "gelu" and
            "gelu_tanh", GELU as GPT-2 approximates it.
        softcap: bound of the scores, `softcap · tanh(score / softcap)`; None for none.
        qk_scale: factor of queries' scores against keys, after their norms.
        embedding_norm: normalise the embedding's rows before the first layer.
        head_gate: a learned gate for each query head.
        residual_scalars: each layer reads `a·x + b·x₀`, the stream and the embedding, with learned
            factors.
        value_embeddings: every second layer, the last included, has a gated table of values.
        bigram_rows: rows of a table of token pairs that every layer reads; 0 for no table.
        ngram_prior: an n-gram table's log probabilities are added to the scores, by a learned
            strength; the table comes by `Decoder.attach_prior`.
        smear: a learned share of the previous token's vector is added to each.
        dropout: share left out while training, of the embedding and of what attention and
            feed-forward layers add.
        embedding_std, head_std: of the initial rows of the embedding and of an untied head.
        uniform_init: initial matrices are uniform and not normal, of the same deviation.
        induction: the first head of the first two layers begin as an induction head, which says
            again what followed the present token before (`models.induction`), in models that have
            the parts for it. Only initial weights.
        mlp_init_scale: factor of the initial matrices into the feed-forward layer.
        norm: "rms", or "layer" with a mean and a bias, as in GPT-2.
        positions: "rotary", or "learned", a table that is added to the embedding, as in GPT-2.
        attention_bias, out_bias, mlp_bias: biases of queries, keys and values, of what attention
            adds to the stream, and of the feed-forward layer's products.
        sliding_window: keys that a query sees, its own included; None for all.
        first_sliding_layer: layers before it see all.
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
    rope_scaling: RopeScaling | None = None
    tied: bool = True
    qk_norm: bool = True
    norm_eps: float = 1e-6
    norm_weights: bool = True
    activation: Literal["swiglu", "relu2", "gelu", "gelu_tanh"] = "swiglu"
    softcap: float | None = None
    qk_scale: float = 1.0
    embedding_norm: bool = False
    head_gate: bool = False
    residual_scalars: bool = False
    value_embeddings: bool = False
    bigram_rows: int = 0
    ngram_prior: bool = False
    smear: bool = False
    dropout: float = 0.0
    embedding_std: float = 0.02
    head_std: float = 0.02
    uniform_init: bool = False
    induction: bool = False
    mlp_init_scale: float = 1.0
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["rotary", "learned"] = "rotary"
    attention_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    first_sliding_layer: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, value in self:
            if isinstance(value, bool | str | RopeScaling | None):
                continue
            if name in _MAY_BE_ZERO:
                if value < 0:
                    raise ConfigError(f"{name} must not be negative", got=value, remedy="give 0")
            elif value <= 0:
                raise ConfigError(f"{name} must be positive", got=value, remedy="give 1 or more")
        if self.dropout >= 1.0:
            raise ConfigError(
                "dropout must be less than 1",
                got=self.dropout,
                remedy="the usual is 0.1 where a text is read several times, else 0",
            )
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
        if self.positions == "learned" and (self.qk_scale != 1.0 or self.rope_scaling is not None):
            raise ConfigError(
                "qk_scale and rope_scaling are for rotary positions",
                got=f"qk_scale {self.qk_scale}, rope_scaling {self.rope_scaling}",
                remedy="leave them out where positions are learned",
            )
        if self.rope_base <= 1:
            raise ConfigError(
                "rope_base must be greater than 1", got=self.rope_base, remedy="the usual is 10000"
            )
        return self

    @property
    def can_have_induction(self) -> bool:
        """Whether the model has what `models.induction` sets."""
        has_norms = self.qk_norm and self.norm_weights and self.norm == "rms"
        return self.num_layers > 1 and self.positions == "rotary" and has_norms

    def build(self, generator: torch.Generator) -> Decoder:
        """A new model with random weights, a function of the config and `generator` alone."""
        model = self.empty()
        initialise(model, self, generator)
        return model

    def empty(self) -> Decoder:
        """A model with undefined weights, to load others into."""
        with_values = layers_with_values(self.num_layers) if self.value_embeddings else ()
        return Decoder(
            Embedding(self.vocab_size, self.width),
            [self._block(value_gate=layer in with_values) for layer in range(self.num_layers)],
            self._norm(),
            None if self.tied else Linear(self.width, self.vocab_size),
            self._positions(),
            self._extras(),
            self.softcap,
            self.dropout,
        )

    def _positions(self) -> RotaryTables | LearnedPositions:
        if self.positions == "learned":
            return LearnedPositions(self.context, self.width)
        return RotaryTables(
            self.num_heads,
            self.head_width,
            self.rope_base,
            self.context,
            # A score is the product of a query and a key, each of which takes the root.
            math.sqrt(self.qk_scale),
            scaling=self.rope_scaling,
        )

    def _mlp(self) -> nn.Module:
        if self.activation == "swiglu":
            return SwiGLU(self.width, self.mlp_width, bias=self.mlp_bias)
        if self.activation == "relu2":
            return SquaredReLU(self.width, self.mlp_width, bias=self.mlp_bias)
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return GELU(self.width, self.mlp_width, bias=self.mlp_bias, approximate=approximate)

    def _block(self, *, value_gate: bool) -> Block:
        return Block(
            Attention(
                self.width,
                self.num_heads,
                self.num_kv_heads,
                self.head_width,
                qk_norm=self.qk_norm,
                norm_eps=self.norm_eps,
                norm_weights=self.norm_weights,
                value_gate=value_gate,
                head_gate=self.head_gate,
                bias=self.attention_bias,
                out_bias=self.out_bias,
            ),
            self._mlp(),
            self._norm(),
            self._norm(),
            self.dropout,
        )

    def _extras(self) -> Extras:
        value_width = self.num_kv_heads * self.head_width
        has_bigrams = self.bigram_rows > 0
        return Extras(
            embedding_norm=self._norm() if self.embedding_norm else None,
            smear=Smear(self.width) if self.smear else None,
            bigrams=BigramTable(self.vocab_size, self.bigram_rows, self.width)
            if has_bigrams
            else None,
            mix=ResidualMix(self.num_layers, first=self.residual_scalars, bigrams=has_bigrams)
            if self.residual_scalars or has_bigrams
            else None,
            values=ValueEmbeddings(self.vocab_size, value_width, self.num_layers)
            if self.value_embeddings
            else None,
            prior_strength=PriorStrength(self.width) if self.ngram_prior else None,
            sliding=None
            if self.sliding_window is None
            else SlidingWindow(self.sliding_window, self.first_sliding_layer),
        )

    def _norm(self) -> Norm:
        if self.norm == "layer":
            return LayerNorm(self.width, self.norm_eps, weighted=self.norm_weights)
        return RMSNorm(self.width, self.norm_eps, weighted=self.norm_weights)


def initialise(model: Decoder, config: DecoderConfig, generator: torch.Generator) -> None:
    """Set all weights of `model` from `generator`, in the order of its parameters.

    Matrices have deviation 1/sqrt(fan-in), so that every product keeps the size of its input. The
    two projections that write to the residual stream start at zero, so that every block starts as
    the identity (ReZero, arXiv 2003.04887; µP, arXiv 2203.03466, appendix D.2). Tables are
    N(0, 0.02²) unless `config` says otherwise, as in GPT-2 and Qwen3: with a tied head, larger ones
    would start by predicting each token to repeat. Norms start at one, gates and the bigram table
    where they change nothing, value tables at a value matrix's deviation. Factors of the streams
    start as in nanochat: the stream's at 1.15 in the first layer to 1.05 in the last, the
    embedding's at 0.2 to 0.05.
    """
    kinds = model.parameter_kinds()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialise_one(name, parameter, kinds[name], config, generator)
    if config.induction and config.can_have_induction:
        begin_with_induction(model, generator)


def _initialise_one(
    name: str,
    parameter: torch.Tensor,
    kind: ParameterKind,
    config: DecoderConfig,
    generator: torch.Generator,
) -> None:
    if name.endswith(".bias"):
        nn.init.zeros_(parameter)
    elif kind == "norm":
        nn.init.ones_(parameter)
    elif kind == "embedding":
        parameter.normal_(0.0, config.embedding_std, generator=generator)
    elif kind == "head":
        parameter.normal_(0.0, config.head_std, generator=generator)
    elif kind == "value_table":
        parameter.normal_(0.0, 1 / math.sqrt(config.width), generator=generator)
    elif name == "prior_strength.base":
        nn.init.ones_(parameter)
    elif kind == "scalar" and name in _FACTORS:
        first, last = _FACTORS[name]
        parameter.copy_(torch.linspace(first, last, len(parameter)))
    elif kind in ("scalar", "bigram_table") or name.endswith(_STARTS_AT_ZERO):
        nn.init.zeros_(parameter)
    else:
        std = 1 / math.sqrt(parameter.shape[1])
        if name.endswith(("mlp.up.weight", "mlp.gate.weight")):
            std *= config.mlp_init_scale
        if config.uniform_init:
            bound = math.sqrt(3) * std
            parameter.uniform_(-bound, bound, generator=generator)
        else:
            parameter.normal_(0.0, std, generator=generator)
