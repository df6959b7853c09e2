"""What a recurrent language model looks like, and how it is put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import nn

from homespun.core import Config, ConfigError
from homespun.models.embedding import Embedding
from homespun.models.linear import Linear
from homespun.models.recurrent.cells import layer_weights
from homespun.models.recurrent.model import RecurrentLM

Cell = Literal["rnn", "lstm", "gru"]
EMBEDDING_STD = 0.1
"""Of initial rows: nothing normalises what a layer reads, and 0.02 as in Transformers lets it begin
with hardly anything."""
NUM_GATES: dict[Cell, int] = {"rnn": 1, "lstm": 4, "gru": 3}


def check_numbers(config: Config, *, shares: Sequence[str], usual: float) -> None:
    """Raises ConfigError where a recurrent model's sizes are not positive, or one of `shares` that
    are left out is not below 1; `usual` is one that is."""
    for name in ("vocab_size", "num_layers", "width", "context"):
        if getattr(config, name) < 1:
            raise ConfigError(
                f"{name} must be at least 1", got=getattr(config, name), remedy="raise it"
            )
    for name in shares:
        if not 0.0 <= getattr(config, name) < 1.0:
            raise ConfigError(
                f"{name} must be from 0 up to but not including 1",
                got=getattr(config, name),
                remedy=f"{usual:g} is a usual share",
            )


class RecurrentConfig(Config):
    """Shape of a `RecurrentLM`.

    Attributes:
        cell: kind of the layers.
        vocab_size: number of token ids.
        num_layers: one above another.
        width: of the embedding and of the states.
        context: tokens of a row of training.
        tied: the head reuses the embedding's table.
        dropout, weight_dropout: see `RecurrentLM`.
    """

    cell: Cell = "lstm"
    vocab_size: int
    num_layers: int
    width: int
    context: int
    tied: bool = True
    dropout: float = 0.0
    weight_dropout: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_numbers(self, shares=("dropout", "weight_dropout"), usual=0.2)
        return self

    def build(self, generator: torch.Generator) -> RecurrentLM:
        """A model with initial weights drawn from `generator`: matrices uniform within
        1/sqrt(width), states' own matrices orthogonal (Saxe et al. 2014, arXiv 1312.6120), and an
        LSTM that begins by remembering: its forget gates have a bias of 1 (Jozefowicz et al. 2015).
        """
        layers = [self._layer() for _ in range(self.num_layers)]
        head = None if self.tied else Linear(self.width, self.vocab_size)
        model = RecurrentLM(
            Embedding(self.vocab_size, self.width),
            layers,
            head,
            context=self.context,
            dropout=self.dropout,
            weight_dropout=self.weight_dropout,
        )
        bound = 1.0 / math.sqrt(self.width)
        with torch.no_grad():
            model.embedding.weight.normal_(0.0, EMBEDDING_STD, generator=generator)
            if head is not None:
                head.weight.normal_(0.0, 0.02, generator=generator)
            for weights in map(layer_weights, layers):
                weights.from_input.uniform_(-bound, bound, generator=generator)
                for gate in weights.from_state.chunk(NUM_GATES[self.cell]):
                    gate.copy_(_orthogonal(self.width, generator))
                weights.input_bias.zero_()
                weights.state_bias.zero_()
                if self.cell == "lstm":
                    weights.input_bias[self.width : 2 * self.width] = 1.0
        return model

    def _layer(self) -> nn.RNNBase:
        if self.cell == "lstm":
            return nn.LSTM(self.width, self.width, batch_first=True)
        if self.cell == "gru":
            return nn.GRU(self.width, self.width, batch_first=True)
        return nn.RNN(self.width, self.width, batch_first=True)


def _orthogonal(size: int, generator: torch.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator))
    signed: torch.Tensor = q * r.diagonal().sign()  # without it, QR prefers some rotations
    return signed
