"""A matrix that is kept in float32 and multiplied in whatever precision the activations have.

Shape letters: D width in, F width out, ... any leading shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """`y = x Wᵀ`, without a bias.

    The weight stays in float32, so that small updates are not rounded away; it is cast to the
    activations' dtype in each forward, which costs one pass over the weight and is nothing beside
    the product. Its gradient is cast back by autograd and arrives in float32. A model converted
    with `.to(torch.bfloat16)` for inference pays no cast at all.

    Args:
        in_width: size of the last dimension of `x`.
        out_width: size of the last dimension of `y`.
    """

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.in_width = in_width
        self.out_width = out_width
        self.weight = nn.Parameter(torch.empty(out_width, in_width))

    def forward(self, x_D: Tensor) -> Tensor:
        return F.linear(x_D, self.weight.to(x_D.dtype))

    def extra_repr(self) -> str:
        return f"{self.in_width} -> {self.out_width}"
