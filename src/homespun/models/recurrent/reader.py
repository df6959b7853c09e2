"""A text read from both ends by LSTMs: what encoders were before Transformers (Graves and
Schmidhuber 2005).

Shape letters: B batch, T time, D width of what comes out.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from homespun.core import Config, ConfigError
from homespun.models.embedding import Embedding
from homespun.models.extras import ParameterKind, parameter_kinds
from homespun.models.extras.dropout import dropped, variational_dropout
from homespun.models.recurrent.cells import layer_weights
from homespun.models.recurrent.config import check_numbers


class ReaderConfig(Config):
    """Shape of a `BidirectionalReader`.

    Attributes:
        cell: kind of the layers.
        vocab_size: number of token ids.
        num_layers: one above another, each of both directions.
        width: of the embedding, and of both directions' states side by side; even.
        context: longest text in tokens; a limit of memory alone.
        dropout: share of each layer's input that is left out while training.
        variational: of a row the same numbers at all steps, see `variational_dropout`.
    """

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    vocab_size: int
    num_layers: int = 1
    width: int = 256
    context: int = 1024
    dropout: float = 0.3
    variational: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_numbers(self, shares=("dropout",), usual=0.3)
        if self.width % 2:
            raise ConfigError(
                "width must be even, since each direction has half of it",
                got=self.width,
                remedy=f"take {self.width + 1}",
            )
        return self

    def build(self, generator: torch.Generator) -> BidirectionalReader:
        """With weights drawn from `generator`: the table N(0, 0.1²), all of the layers' uniform
        within 1/sqrt(half the width), as torch draws them."""
        model = self.empty()
        bound = 1.0 / math.sqrt(self.width // 2)
        with torch.no_grad():
            model.embedding.weight.normal_(0.0, 0.1, generator=generator)
            for layer in model.layers:
                assert isinstance(layer, nn.RNNBase)
                for weights in layer_weights(layer):
                    weights.uniform_(-bound, bound, generator=generator)
        return model

    def empty(self) -> BidirectionalReader:
        """A model whose weights are not set."""
        kinds: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        half = self.width // 2
        layers = [
            kinds[self.cell](self.width, half, batch_first=True) for _ in range(2 * self.num_layers)
        ]
        embedding = Embedding(self.vocab_size, self.width)
        return BidirectionalReader(
            embedding,
            layers,
            context=self.context,
            dropout=self.dropout,
            variational=self.variational,
        )


class BidirectionalReader(nn.Module):
    """Token ids to hidden states that have seen what stands before and behind.

    Args:
        embedding: ids to vectors.
        layers: forward and backward by turns, each of half the width.
        context, dropout, variational: see `ReaderConfig`.
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: list[nn.RNNBase],
        *,
        context: int,
        dropout: float,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.context, self.dropout = context, dropout
        self._left_out = variational_dropout if variational else dropped

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """The recurrence is computed in float32 always."""

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`."""
        return parameter_kinds(self, None)

    def forward(
        self, ids_BT: Tensor, *, is_token_BT: Tensor | None = None, types_BT: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, D) in float32; see `Encoder.forward`. Types are not read."""
        del types_BT
        x_BTD: Tensor = self.embedding(ids_BT)
        lengths_B = torch.full((len(ids_BT),), ids_BT.shape[1])
        if is_token_BT is not None:
            lengths_B = is_token_BT.sum(1).clamp_min(1).cpu()
        for at in range(0, len(self.layers), 2):
            x_BTD = self._left_out(x_BTD, self.dropout) if self.training else x_BTD
            ahead = _read(self.layers[at], x_BTD, lengths_B)
            back = _read(self.layers[at + 1], reversed_rows(x_BTD, lengths_B), lengths_B)
            x_BTD = torch.cat([ahead, reversed_rows(back, lengths_B)], 2)
        return x_BTD


def _read(layer: nn.Module, x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    packed = pack_padded_sequence(x_BTD, lengths_B, batch_first=True, enforce_sorted=False)
    out, _ = layer(packed)
    padded: tuple[Tensor, Tensor] = pad_packed_sequence(
        out, batch_first=True, total_length=x_BTD.shape[1]
    )
    return padded[0]


def reversed_rows(x_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Each row's first `length` places in reverse, the others where they are."""
    places_T = torch.arange(x_BTD.shape[1])
    turned_BT = lengths_B[:, None] - 1 - places_T
    turned_BT = torch.where(turned_BT >= 0, turned_BT, places_T).to(x_BTD.device)
    return x_BTD.gather(1, turned_BT[..., None].expand_as(x_BTD))
