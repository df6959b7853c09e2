"""What an encoder looks like, and how it is put together."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import nn

from homespun.core import Config, ConfigError
from homespun.models.attention import Attention
from homespun.models.decoder import Norm
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.encoder.model import Encoder, EncoderBlock, MaskedHead
from homespun.models.mlp import GELU, SquaredReLU
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.position import RotaryTables

_MAY_BE_ZERO = ("num_types", "dropout")


class EncoderConfig(Config):
    """Shape of an `Encoder`; the defaults are BERT's (Devlin et al. 2019, arXiv 1810.04805).

    Attributes:
        vocab_size: number of token ids.
        num_layers: number of blocks.
        width: of the residual stream.
        num_heads: of each block, divides `width`.
        mlp_width: units of each block's feed-forward layer.
        context: longest text in tokens.
        num_types: texts of a pair that are told apart; 0 for none.
        positions: "learned" and added, or "rotary".
        rope_base: of rotary wavelengths.
        norm: "layer", or "rms".
        norm_first: norms before attention and feed-forward layer, and one at the end, as in later
            models; False is behind them, and one of the embedding.
        norm_eps: eps of all norms.
        activation: "gelu", "gelu_tanh" or "relu2".
        bias: products have one.
        masked_head: have a head that says masked words.
        dropout: share left out while training, of the embedding and of what attention and
            feed-forward layers add.
    """

    vocab_size: int
    num_layers: int
    width: int
    num_heads: int
    mlp_width: int
    context: int
    num_types: int = 2
    positions: Literal["learned", "rotary"] = "learned"
    rope_base: float = 10_000.0
    norm: Literal["layer", "rms"] = "layer"
    norm_first: bool = False
    norm_eps: float = 1e-12
    activation: Literal["gelu", "gelu_tanh", "relu2"] = "gelu"
    bias: bool = True
    masked_head: bool = True
    dropout: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, value in self:
            if isinstance(value, bool | str):
                continue
            if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                raise ConfigError(f"{name} must be positive", got=value, remedy="give 1 or more")
        if self.dropout >= 1.0:
            raise ConfigError(
                "dropout must be less than 1", got=self.dropout, remedy="the usual is 0.1"
            )
        if self.width % self.num_heads or (
            self.positions == "rotary" and self.width // self.num_heads % 2
        ):
            raise ConfigError(
                "num_heads must divide the width, into even parts where positions are rotary",
                got=f"{self.num_heads} heads of width {self.width}",
                remedy="64 a head is usual",
            )
        return self

    def build(self, generator: torch.Generator) -> Encoder:
        """A model with weights drawn from `generator`: tables N(0, 0.02²), biases zero, norms one;
        matrices of deviation 1/sqrt(fan-in), which is BERT's 0.02 for its largest, and with
        `norm_first` zero for what is added to the stream, as decoders begin."""
        model = self.empty()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                kind = model.parameter_kinds()[name]
                if kind == "norm":
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                elif parameter.ndim == 1 or (
                    self.norm_first and name.endswith(("attention.out.weight", "mlp.down.weight"))
                ):
                    parameter.zero_()
                else:
                    is_table = kind == "embedding"
                    std = 0.02 if is_table else parameter.shape[1] ** -0.5
                    parameter.normal_(0.0, std, generator=generator)
        return model

    def empty(self) -> Encoder:
        """A model whose weights are not set."""
        learned = self.positions == "learned"
        head_width = self.width // self.num_heads
        return Encoder(
            Embedding(self.vocab_size, self.width),
            Embedding(self.num_types, self.width) if self.num_types else None,
            LearnedPositions(self.context, self.width)
            if learned
            else RotaryTables(self.num_heads, head_width, self.rope_base, self.context),
            None if self.norm_first else self._norm(),
            [self._block() for _ in range(self.num_layers)],
            self._norm() if self.norm_first else None,
            self._head() if self.masked_head else None,
            dropout=self.dropout,
        )

    def _head(self) -> MaskedHead:
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return MaskedHead(self.width, self._norm(), self.vocab_size, approximate=approximate)

    def _block(self) -> EncoderBlock:
        attention = Attention(
            self.width,
            self.num_heads,
            self.num_heads,
            self.width // self.num_heads,
            qk_norm=False,
            norm_eps=self.norm_eps,
            bias=self.bias,
            out_bias=self.bias,
            causal=False,
        )
        return EncoderBlock(
            attention,
            self._mlp(),
            self._norm(),
            self._norm(),
            norm_first=self.norm_first,
            dropout=self.dropout,
        )

    def _mlp(self) -> nn.Module:
        if self.activation == "relu2":
            return SquaredReLU(self.width, self.mlp_width, bias=self.bias)
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return GELU(self.width, self.mlp_width, bias=self.bias, approximate=approximate)

    def _norm(self) -> Norm:
        if self.norm == "layer":
            return LayerNorm(self.width, self.norm_eps)
        return RMSNorm(self.width, self.norm_eps)
