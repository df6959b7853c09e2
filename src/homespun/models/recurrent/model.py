"""A recurrent language model: a state that each token changes, and from which the next is told.

Shape letters: B batch, T time, D width of embedding and states, V vocabulary, N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.cross_entropy import cross_entropy_from_hidden
from homespun.models.embedding import Embedding
from homespun.models.extras import ParameterKind, parameter_kinds
from homespun.models.extras.dropout import variational_dropout
from homespun.models.linear import Linear
from homespun.models.recurrent.cells import layer_weights


class State(NamedTuple):
    """What a model remembers of the tokens so far.

    Attributes:
        hidden: of each layer, (B, D).
        cells: of each layer of an LSTM; empty for others.
    """

    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]

    def detached(self) -> State:
        """The same numbers, from which no gradient flows back into what they are made of."""
        return State(tuple(h.detach() for h in self.hidden), tuple(c.detach() for c in self.cells))


class RecurrentLM(nn.Module):
    """Token ids to states, and states to scores of the next token.

    `RecurrentConfig.build` puts one together. The recurrence is computed in float32, as a state
    that goes through hundreds of steps should be; the head in `compute_dtype`.

    Args:
        embedding: ids to vectors.
        layers: torch's RNN, GRU or LSTM, of one layer each, the batch first.
        unembedding: states to scores; None uses the embedding's table (Press and Wolf 2017, arXiv
            1608.05859).
        context: tokens of a row that are learned from together; no limit of what can be read.
        dropout: share of the inputs and outputs of layers that is left out while training, the same
            numbers in all steps of a row that are read at once, see `variational_dropout`.
        weight_dropout: share of the matrices from state to state that is left out (Merity et al.
            2018, arXiv 1708.02182).
    """

    def __init__(
        self,
        embedding: Embedding,
        layers: Sequence[nn.RNNBase],
        unembedding: Linear | None,
        *,
        context: int,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.unembedding = unembedding
        self.context = context
        self.dropout = dropout
        self.weight_dropout = weight_dropout
        self.compute_dtype = torch.float32

    @property
    def head_weight(self) -> Tensor:
        """The matrix of the head: the embedding's own where tied."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`."""
        return parameter_kinds(self, self.unembedding)

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of the head's products; weights and the recurrence stay in float32."""
        self.compute_dtype = dtype

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Hidden states (B, T, D) in the compute dtype, from an empty memory on."""
        return self.read(ids_BT, None)[0]

    def read(self, ids_BT: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Hidden states (B, T, D), and what is remembered after the last token.

        Args:
            ids_BT: token ids.
            state: from the tokens before; None for none.
        """
        x_BTD = self._left_out(self.embedding(ids_BT))
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.RNNBase)
            before: Any = None
            if state is not None:
                before = state.hidden[number][None]
                if state.cells:
                    before = (before, state.cells[number][None])
            x_BTD, after = self._through(layer, x_BTD, before)
            x_BTD = self._left_out(x_BTD)
            if isinstance(after, tuple):
                hidden.append(after[0][0])
                cells.append(after[1][0])
            else:
                hidden.append(after[0])
        return x_BTD.to(self.compute_dtype), State(tuple(hidden), tuple(cells))

    def states(self, hidden_BTD: Tensor) -> Tensor:
        """The hidden states themselves, as `Decoder.states`."""
        return hidden_BTD

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """Scores of all tokens, (..., V)."""
        return F.linear(hidden_BTD, self.head_weight.to(hidden_BTD.dtype))

    def next_token_loss(self, hidden_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Summed nats of `targets_BT`, float32, with gradients; targets of -100 do not count."""
        hidden_ND = hidden_BTD.flatten(0, -2)
        return cross_entropy_from_hidden(hidden_ND, self.head_weight, targets_BT.flatten())

    def _through(self, layer: nn.RNNBase, x_BTD: Tensor, before: Any) -> Any:
        if not (self.training and self.weight_dropout):
            return layer(x_BTD, before)
        # `parametrize` would keep a copy of the matrix; this leaves numbers out for one call.
        dropped = F.dropout(layer_weights(layer).from_state, self.weight_dropout)
        return torch.func.functional_call(layer, {"weight_hh_l0": dropped}, (x_BTD, before))

    def _left_out(self, x_BTD: Tensor) -> Tensor:
        return variational_dropout(x_BTD, self.dropout) if self.training else x_BTD
