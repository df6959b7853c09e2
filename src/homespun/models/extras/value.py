"""Value embeddings: a table of its own, one row a token, added to the values of attention.

Parameters that cost no products (Zhou et al. 2024, "Value residual learning", arXiv 2410.17897, in
the form of the modded-nanogpt speedrun, record 14): the last layer and every second one before it
have a table, and a gate says per token and key-value head how much of it counts.

Shape letters: B batch, T time, G key-value heads, K head width, E = G·K.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from homespun.models.embedding import Embedding
from homespun.models.extras.kinds import ParameterKind


class ValueTable(Embedding):
    """One row of values a token."""

    parameter_kind: ClassVar[ParameterKind] = "value_table"


class ValueEmbeddings(nn.Module):
    """The tables of all layers that have one.

    Args:
        vocab_size: rows of each table.
        value_width: E, size of a row.
        num_layers: of the model.
    """

    def __init__(self, vocab_size: int, value_width: int, num_layers: int) -> None:
        super().__init__()
        self.tables = nn.ModuleDict(
            {
                str(layer): ValueTable(vocab_size, value_width)
                for layer in layers_with_values(num_layers)
            }
        )

    def forward(
        self, layer: int, ids_BT: Tensor, dtype: torch.dtype = torch.float32
    ) -> Tensor | None:
        """(B, T, E) in `dtype` for layers that have a table, else None."""
        if str(layer) not in self.tables:
            return None
        value_BTE: Tensor = self.tables[str(layer)](ids_BT, dtype)
        return value_BTE


def layers_with_values(num_layers: int) -> list[int]:
    """The last layer and every second one before it, first to last."""
    return list(range((num_layers - 1) % 2, num_layers, 2))
