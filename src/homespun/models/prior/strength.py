"""How much a table counts beside the network.

Shape letters: N rows (tokens of any batch shape), D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PriorStrength(nn.Module):
    """`s = a + g · h`, one number a token: 1 at first, so that a new model is the table itself.

    Args:
        width: D, of the hidden states.
    """

    parameter_kind = "scalar"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.ones(1))
        self.gate_D = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_ND: Tensor) -> Tensor:
        """Returns (N,) in float32. Differences between tokens are a hundredth as quick to learn:
        they are sums over the whole width."""
        strength_N: Tensor = self.base + hidden_ND.float() @ self.gate()
        return strength_N

    def gate(self) -> Tensor:
        """g, (D,)."""
        return 0.1 * self.gate_D
