"""What an encoder-decoder looks like, and how it is put together."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import nn

from homespun.core import Config, ConfigError
from homespun.models.attention import Attention
from homespun.models.decoder import Norm
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.encoder.model import EncoderBlock
from homespun.models.encoder_decoder.attention import CrossAttention
from homespun.models.encoder_decoder.copying import CopyHead
from homespun.models.encoder_decoder.model import EncoderDecoder, Positions, Side, WriterBlock
from homespun.models.encoder_decoder.positions import RelativePositions, SinusoidalPositions
from homespun.models.linear import Linear
from homespun.models.mlp import GELU, GeGLU, ReLU, SquaredReLU
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.position import RotaryTables

_ENDS = ("attention.out.weight", "cross.out.weight", "mlp.down.weight")


class EncoderDecoderConfig(Config):
    """Shape of an `EncoderDecoder`; the defaults are those of Vaswani et al. 2017 (arXiv
    1706.03762) but for its size.

    Attributes:
        vocab_size: number of token ids, of both sides.
        num_layers, num_writer_layers: of the reading and of the writing half.
        width: of the residual stream.
        num_heads: of all attention.
        head_width: of a head; `num_heads · head_width` need not be `width`.
        mlp_width: units of each feed-forward layer.
        context: longest text of either side, in tokens.
        positions: "sinusoidal", "learned", "rotary", or "relative" as in T5.
        num_buckets, farthest: of relative positions.
        norm: "layer", or "rms".
        norm_first: norms before each part, and one at the end of each half; False is behind each.
        norm_eps: eps of all norms.
        activation: "relu", "gelu", "relu2", or "geglu", gated.
        bias: products have one, but for the head.
        shared: both sides have one table of vectors.
        tied: the head reuses the writing side's table.
        scaled: the embedding's rows are multiplied by √width; "head" divides hidden states by it
            before the head instead, as T5 does; "none" does neither, as T5 1.1.
        copying: words can be taken over from the text that is read.
        dropout: share left out while training, of the embedding and of what each part adds.
    """

    vocab_size: int
    num_layers: int
    num_writer_layers: int
    width: int
    num_heads: int
    head_width: int
    mlp_width: int
    context: int
    positions: Literal["sinusoidal", "learned", "rotary", "relative"] = "sinusoidal"
    num_buckets: int = 32
    farthest: int = 128
    norm: Literal["layer", "rms"] = "layer"
    norm_first: bool = False
    norm_eps: float = 1e-5
    activation: Literal["relu", "gelu", "relu2", "geglu"] = "relu"
    bias: bool = True
    shared: bool = True
    tied: bool = True
    scaled: Literal["embedding", "head", "none"] = "embedding"
    copying: bool = False
    dropout: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, value in self:
            if isinstance(value, bool | str):
                continue
            if value < 0 or (value == 0 and name != "dropout"):
                raise ConfigError(f"{name} must be positive", got=value, remedy="give 1 or more")
        if self.dropout >= 1.0:
            raise ConfigError(
                "dropout must be less than 1", got=self.dropout, remedy="the usual is 0.1"
            )
        if self.positions == "sinusoidal" and self.width % 2:
            raise ConfigError(
                "the width must be even for sinusoidal positions",
                got=self.width,
                remedy=f"take {self.width + 1}",
            )
        if self.positions == "rotary" and self.head_width % 2:
            raise ConfigError(
                "head_width must be even for rotary positions",
                got=self.head_width,
                remedy=f"take {self.head_width + 1}",
            )
        if self.positions == "relative" and (self.num_buckets < 4 or self.num_buckets % 4):
            raise ConfigError(
                "num_buckets must be a multiple of 4", got=self.num_buckets, remedy="take 32"
            )
        if self.positions == "relative" and self.farthest <= self.num_buckets // 2:
            raise ConfigError(
                f"farthest must be above {self.num_buckets // 2}, half of num_buckets: so far each "
                "distance has a bucket of its own",
                got=self.farthest,
                remedy=f"take {4 * self.num_buckets}",
            )
        return self

    def build(self, generator: torch.Generator) -> EncoderDecoder:
        """A model with weights drawn from `generator`: tables of deviation 1/√width (1 where the
        head is scaled), matrices 1/√fan-in, biases and relative positions zero, norms one; with
        `norm_first` zero for what is added to the stream."""
        model = self.empty()
        kinds = model.parameter_kinds()
        table_std = 1.0 if self.scaled == "head" else self.width**-0.5
        zeros = _ENDS if self.norm_first else ()
        if self.positions == "relative":
            zeros = (*zeros, "positions.weight")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if kinds[name] == "norm":
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                elif parameter.ndim == 1 or name.endswith(zeros):
                    parameter.zero_()
                elif kinds[name] == "embedding":
                    parameter.normal_(0.0, table_std, generator=generator)
                else:
                    parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)
        return model

    def empty(self) -> EncoderDecoder:
        """A model whose weights are not set."""
        reading = Embedding(self.vocab_size, self.width)
        writing = reading if self.shared else Embedding(self.vocab_size, self.width)
        scale = math.sqrt(self.width) if self.scaled == "embedding" else 1.0

        def side(embedding: Embedding, blocks: list[nn.Module], *, both_ways: bool) -> Side:
            return Side(
                embedding,
                self._positions(both_ways=both_ways),
                blocks,
                self._norm() if self.norm_first else None,
                embedding_scale=scale,
                dropout=self.dropout,
            )

        readers: list[nn.Module] = [self._reader() for _ in range(self.num_layers)]
        writers: list[nn.Module] = [self._writer() for _ in range(self.num_writer_layers)]
        return EncoderDecoder(
            side(reading, readers, both_ways=True),
            side(writing, writers, both_ways=False),
            None if self.tied else Linear(self.width, self.vocab_size),
            context=self.context,
            head_scale=self.width**-0.5 if self.scaled == "head" else 1.0,
            copying=CopyHead(self.width) if self.copying else None,
        )

    def _positions(self, *, both_ways: bool) -> Positions:
        if self.positions == "learned":
            return LearnedPositions(self.context, self.width)
        if self.positions == "rotary":
            return RotaryTables(self.num_heads, self.head_width, 10_000.0, self.context)
        if self.positions == "relative":
            return RelativePositions(
                self.num_heads, self.num_buckets, self.farthest, both_ways=both_ways
            )
        return SinusoidalPositions(self.context, self.width)

    def _attention(self, *, causal: bool) -> Attention:
        return Attention(
            self.width,
            self.num_heads,
            self.num_heads,
            self.head_width,
            qk_norm=False,
            norm_eps=self.norm_eps,
            bias=self.bias,
            out_bias=self.bias,
            causal=causal,
        )

    def _reader(self) -> EncoderBlock:
        return EncoderBlock(
            self._attention(causal=False),
            self._mlp(),
            self._norm(),
            self._norm(),
            norm_first=self.norm_first,
            dropout=self.dropout,
        )

    def _writer(self) -> WriterBlock:
        return WriterBlock(
            self._attention(causal=True),
            CrossAttention(self.width, self.num_heads, self.head_width, bias=self.bias),
            self._mlp(),
            [self._norm() for _ in range(3)],
            norm_first=self.norm_first,
            dropout=self.dropout,
        )

    def _mlp(self) -> nn.Module:
        if self.activation == "geglu":
            return GeGLU(self.width, self.mlp_width)
        plain: dict[str, type[nn.Module]] = {"relu": ReLU, "gelu": GELU, "relu2": SquaredReLU}
        return plain[self.activation](self.width, self.mlp_width, bias=self.bias)

    def _norm(self) -> Norm:
        if self.norm == "layer":
            return LayerNorm(self.width, self.norm_eps)
        return RMSNorm(self.width, self.norm_eps)
