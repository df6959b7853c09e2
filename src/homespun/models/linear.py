"""A matrix that is kept in float32 and multiplied in whatever precision the activations have.

Shape letters: D width in, F width out, ... any leading shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.native.active import active_kernels
from homespun.models.native.functions import NativeLinears


class Linear(nn.Module):
    """`y = x Wᵀ`, or `x Wᵀ + b` where it is asked for a bias.

    The weight stays in float32, so that small updates are not rounded away; it is cast to the
    activations' dtype in each forward, which costs one pass over the weight and is nothing beside
    the product. Its gradient is cast back by autograd and arrives in float32. A model converted
    with `.to(torch.bfloat16)` for inference pays no cast at all.

    Args:
        in_width: size of the last dimension of `x`.
        out_width: size of the last dimension of `y`.
        bias: have a vector that is added.
    """

    def __init__(self, in_width: int, out_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.in_width = in_width
        self.out_width = out_width
        self.weight = nn.Parameter(torch.empty(out_width, in_width))
        self.bias = nn.Parameter(torch.empty(out_width)) if bias else None

    def forward(self, x_D: Tensor) -> Tensor:
        if self.bias is not None:
            return F.linear(x_D, self.weight.to(x_D.dtype), self.bias.to(x_D.dtype))
        return _products(x_D, self.weight)[0]

    def extra_repr(self) -> str:
        return f"{self.in_width} -> {self.out_width}"


def linears(x_D: Tensor, *layers: nn.Module) -> tuple[Tensor, ...]:
    """What each layer makes of the same `x_D`, as if called one after the other. Where all are
    plain `Linear` without biases or hooks, the gradient of `x_D` is summed up on the way, without
    passes of its own."""
    plain = [layer.weight for layer in layers if type(layer) is Linear and layer.bias is None]
    if len(plain) == len(layers) and not any(_has_hooks(layer) for layer in layers):
        return _products(x_D, *plain)
    return tuple(layer(x_D) for layer in layers)


def _has_hooks(layer: nn.Module) -> bool:
    """Whether somebody wants to be told when it is called."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
    )


def _products(x_D: Tensor, *weights_FD: Tensor) -> tuple[Tensor, ...]:
    kernels = active_kernels(x_D)
    if kernels is not None and kernels.has_product and x_D.dtype == torch.float32:
        return NativeLinears.apply(kernels, x_D, *weights_FD)  # type: ignore
    return tuple(F.linear(x_D, weight_FD.to(x_D.dtype)) for weight_FD in weights_FD)
