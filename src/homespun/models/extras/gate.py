"""Gates: learned factors between 0 and 2 that depend on the first few channels of their input.

Shape letters: D width, C channels looked at, H numbers that are gated, ... any leading shape.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.extras.kinds import ParameterKind

GATE_CHANNELS = 12
"""As in nanochat's and modded-nanogpt's gates; more showed no gain there."""


class Gate(nn.Module):
    """`2 · sigmoid(W x[:C])`, so that a weight of zero, as it starts, leaves all as it is.

    Args:
        width: D, of the input; where narrower than `GATE_CHANNELS`, all of it is looked at.
        num_gates: H, factors a token.
    """

    parameter_kind: ClassVar[ParameterKind] = "scalar"

    def __init__(self, width: int, num_gates: int) -> None:
        super().__init__()
        self.num_channels = min(GATE_CHANNELS, width)
        self.weight = nn.Parameter(torch.empty(num_gates, self.num_channels))

    def forward(self, x_D: Tensor) -> Tensor:
        """(..., H) in the dtype of `x_D`."""
        score_H = F.linear(x_D[..., : self.num_channels], self.weight.to(x_D.dtype))
        return score_H.sigmoid().mul(2.0)

    def extra_repr(self) -> str:
        return f"{self.num_channels} -> {self.weight.shape[0]}"
