"""Token ids to vectors.

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
