"""Token ids to vectors, and positions where they are learned and not rotated.

Shape letters: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(nn.Module):
    """A table with one float32 row a token.

    Args:
        vocab_size: V, number of rows.
        width: D, size of a row.
    """

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.width = width
        self.weight = nn.Parameter(torch.empty(vocab_size, width))

    def forward(self, ids_BT: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The rows of `ids_BT` as (B, T, D) in `dtype`. Rows are cast after they are gathered, so
        their gradients are summed in float32."""
        return F.embedding(ids_BT, self.weight).to(dtype)

    def extra_repr(self) -> str:
        return f"{self.vocab_size} x {self.width}"


class LearnedPositions(nn.Module):
    """A table with one float32 row a position, added to the tokens' vectors, as in GPT-2.

    Args:
        length: number of positions.
        width: D, size of a row.
    """

    parameter_kind = "embedding"

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.empty(length, width))

    def forward(
        self, start: int, stop: int, positions_BT: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Rows of positions start..stop-1, (T, D), or of `positions_BT` where given, (B, T, D)."""
        if positions_BT is not None:
            return F.embedding(positions_BT, self.weight).to(dtype)
        return self.weight[start:stop].to(dtype)
