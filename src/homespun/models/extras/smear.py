"""Smear: a token's vector takes in some of the previous token's, by a learned gate.

What the first layer's attention would otherwise spend a head on (modded-nanogpt; nanochat).

Shape letters: B batch, T time, D width, C channels looked at.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.extras.kinds import ParameterKind

SMEAR_CHANNELS = 24
"""As in nanochat."""


class Smear(nn.Module):
    """`x + factor · sigmoid(W x[:C]) · previous`; the factor starts at zero.

    Args:
        width: D; where narrower than `SMEAR_CHANNELS`, all of it is looked at.
    """

    parameter_kind: ClassVar[ParameterKind] = "scalar"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_channels = min(SMEAR_CHANNELS, width)
        self.weight = nn.Parameter(torch.empty(1, self.num_channels))
        self.factor = nn.Parameter(torch.empty(1))

    def forward(self, x_BTD: Tensor, previous_BTD: Tensor, has_previous_BT: Tensor) -> Tensor:
        """Args:
        x_BTD: the tokens' vectors.
        previous_BTD: those of the tokens before; whatever they are where there is none.
        has_previous_BT: whether there is one, bool.
        """
        gate_BT1 = F.linear(x_BTD[..., : self.num_channels], self.weight.to(x_BTD.dtype)).sigmoid()
        gate_BT1 = gate_BT1 * self.factor.to(x_BTD.dtype) * has_previous_BT[..., None]
        return torch.addcmul(x_BTD, gate_BT1, previous_BTD)


def shifted(x_BTD: Tensor) -> Tensor:
    """The vector before each in its row; the first column is zero."""
    return F.pad(x_BTD[:, :-1], (0, 0, 1, 0))
