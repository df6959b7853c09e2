"""Feed-forward layers: SwiGLU (Shazeer 2020, arXiv 2002.05202), whose units are gated, and the
activation of Primer, the squared ReLU (So et al. 2021, arXiv 2109.08668); and GELU (Hendrycks and
Gimpel 2016, arXiv 1606.08415) for models that come from elsewhere.

Shape letters: B batch, T time, D width, F feed-forward width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from homespun.models.linear import Linear, linears
from homespun.models.native.active import active_kernels
from homespun.models.native.functions import NativeGatedSilu, NativeSquaredRelu


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) · up(x))`.

    Args:
        width: D, width of the residual stream.
        mlp_width: F, number of gated units.
        bias: all three products have one.
    """

    def __init__(self, width: int, mlp_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate = Linear(width, mlp_width, bias=bias)
        self.up = Linear(width, mlp_width, bias=bias)
        self.down = Linear(mlp_width, width, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate_BTF, up_BTF = linears(x_BTD, self.gate, self.up)
        y_BTD: Tensor = self.down(gated_silu(gate_BTF, up_BTF))
        return y_BTD


class SquaredReLU(nn.Module):
    """`down(max(up(x), 0)²)`, the ungated layer of Primer (So et al. 2021, arXiv 2109.08668).

    Args:
        width: D, width of the residual stream.
        mlp_width: F, number of units; 4·D costs what SwiGLU of 8/3·D does.
        bias: both products have one.
    """

    def __init__(self, width: int, mlp_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.up = Linear(width, mlp_width, bias=bias)
        self.down = Linear(mlp_width, width, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down(squared_relu(self.up(x_BTD)))
        return y_BTD


class GELU(nn.Module):
    """`down(gelu(up(x)))`, the ungated layer of GPT-2.

    Args:
        width: D, width of the residual stream.
        mlp_width: F, number of units.
        bias: both products have one.
        approximate: "tanh" as in GPT-2's code, or "none" for the error function itself.
    """

    def __init__(
        self, width: int, mlp_width: int, *, bias: bool = False, approximate: str = "none"
    ) -> None:
        super().__init__()
        self.up = Linear(width, mlp_width, bias=bias)
        self.down = Linear(mlp_width, width, bias=bias)
        self.approximate = approximate

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down(F.gelu(self.up(x_BTD), approximate=self.approximate))
        return y_BTD


class ReLU(nn.Module):
    """`down(max(up(x), 0))`, the ungated layer of the Transformer of 2017 and of T5.

    Args:
        width: D, width of the residual stream.
        mlp_width: F, number of units.
        bias: both products have one.
    """

    def __init__(self, width: int, mlp_width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.up = Linear(width, mlp_width, bias=bias)
        self.down = Linear(mlp_width, width, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down(F.relu(self.up(x_BTD)))
        return y_BTD


class GeGLU(nn.Module):
    """`down(gelu(gate(x)) · up(x))` (Shazeer 2020), GELU approximated by tanh, as in T5 1.1.

    Args:
        width: D, width of the residual stream.
        mlp_width: F, number of gated units.
    """

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.gate = Linear(width, mlp_width)
        self.up = Linear(width, mlp_width)
        self.down = Linear(mlp_width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate_BTF, up_BTF = linears(x_BTD, self.gate, self.up)
        y_BTD: Tensor = self.down(F.gelu(gate_BTF, approximate="tanh") * up_BTF)
        return y_BTD


def gated_silu(gate_F: Tensor, up_F: Tensor) -> Tensor:
    """`silu(gate) · up`, keeping only its two inputs and silu(gate) for the backward pass."""
    if (kernels := active_kernels(gate_F)) is not None:
        return NativeGatedSilu.apply(kernels, gate_F, up_F)  # type: ignore
    y_F: Tensor = _GatedSilu.apply(gate_F, up_F)  # type: ignore[no-untyped-call]
    return y_F


class _GatedSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_F: Tensor, up_F: Tensor) -> Tensor:
        silu_F = F.silu(gate_F)
        ctx.save_for_backward(gate_F, up_F, silu_F)
        return silu_F * up_F

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad_F,) = grads
        gate_F, up_F, silu_F = ctx.saved_tensors
        grad_gate_F = torch.ops.aten.silu_backward(grad_F * up_F, gate_F)
        return grad_gate_F, grad_F * silu_F


def gated_silu_obvious(gate_F: Tensor, up_F: Tensor) -> Tensor:
    """The slow version, differentiated by autograd."""
    return gate_F * torch.sigmoid(gate_F) * up_F


def squared_relu(x_F: Tensor) -> Tensor:
    """`max(x, 0)²`, keeping only `max(x, 0)` for the backward pass, which is in place."""
    if (kernels := active_kernels(x_F)) is not None:
        return NativeSquaredRelu.apply(kernels, x_F)  # type: ignore
    y_F: Tensor = _SquaredRelu.apply(x_F)  # type: ignore[no-untyped-call]
    return y_F


def squared_relu_obvious(x_F: Tensor) -> Tensor:
    """The slow version, differentiated by autograd."""
    return F.relu(x_F).square()


class _SquaredRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_F: Tensor) -> Tensor:
        r_F = F.relu(x_F)
        ctx.save_for_backward(r_F)
        return r_F * r_F

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (r_F,) = ctx.saved_tensors
        # d max(x, 0)² = 2 max(x, 0), which is 0 where x < 0.
        return torch.mul(grads[0], r_F).mul_(2.0)
