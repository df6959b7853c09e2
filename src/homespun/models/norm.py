"""Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467), and the older
LayerNorm (Ba et al. 2016, arXiv 1607.06450) for models that come from elsewhere.

Shape letters: N rows (all leading dimensions), D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from homespun.models.native.active import active_kernels
from homespun.models.native.functions import NativeRMSNorm


class RMSNorm(nn.Module):
    """`y = x / sqrt(mean(x²) + eps) · weight` over the last dimension.

    The mean is taken in float32 whatever the dtype of `x`; `y` has the dtype of `x`.

    Args:
        width: D, size of the last dimension.
        eps: added to the mean square.
        weighted: have a weight; without one there is nothing to learn.
    """

    def __init__(self, width: int, eps: float = 1e-6, *, weighted: bool = True) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if weighted else None

    def forward(self, x_ND: Tensor) -> Tensor:
        return rms_norm(x_ND, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}, eps={self.eps}"


class LayerNorm(nn.Module):
    """`y = (x - mean(x)) / sqrt(var(x) + eps) · weight + bias` over the last dimension, in float32
    whatever the dtype of `x`; `y` has the dtype of `x`. torch's own kernel, forwards and back.

    Args:
        width: D, size of the last dimension.
        eps: added to the variance.
        weighted: have a weight and a bias.
    """

    def __init__(self, width: int, eps: float = 1e-5, *, weighted: bool = True) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if weighted else None
        self.bias = nn.Parameter(torch.zeros(width)) if weighted else None

    def forward(self, x_ND: Tensor) -> Tensor:
        weight_D = None if self.weight is None else self.weight.float()
        bias_D = None if self.bias is None else self.bias.float()
        y_ND = F.layer_norm(x_ND.float(), (self.width,), weight_D, bias_D, self.eps)
        return y_ND.to(x_ND.dtype)

    def extra_repr(self) -> str:
        return f"{self.width}, eps={self.eps}"


def layer_norm_obvious(x_ND: Tensor, weight_D: Tensor, bias_D: Tensor, eps: float) -> Tensor:
    """The slow version, as the paper writes it, in float64."""
    x64_ND = x_ND.double()
    centred_ND = x64_ND - x64_ND.mean(-1, keepdim=True)
    variance_N1 = centred_ND.square().mean(-1, keepdim=True)
    y_ND = centred_ND / (variance_N1 + eps).sqrt() * weight_D.double() + bias_D.double()
    return y_ND.to(x_ND.dtype)


def rms_norm(x_ND: Tensor, weight_D: Tensor | None, eps: float) -> Tensor:
    """The fast version: fewer passes over memory than autograd makes of the obvious one."""
    if not torch.is_grad_enabled():  # torch's own has the least overhead on a single token
        weight = None if weight_D is None else weight_D.float()
        return F.rms_norm(x_ND.float(), x_ND.shape[-1:], weight, eps).to(x_ND.dtype)
    fits = weight_D is None or weight_D.dtype == torch.float32
    if fits and (kernels := active_kernels(x_ND)) is not None:
        return NativeRMSNorm.apply(kernels, x_ND, weight_D, eps)  # type: ignore
    y_ND: Tensor = _RMSNorm.apply(x_ND, weight_D, eps)  # type: ignore[no-untyped-call]
    return y_ND


def rms_norm_obvious(x_ND: Tensor, weight_D: Tensor | None, eps: float) -> Tensor:
    """The slow version, as the paper writes it."""
    x32_ND = x_ND.float()
    scale_N1 = (x32_ND.square().mean(dim=-1, keepdim=True) + eps).rsqrt()
    weight = 1.0 if weight_D is None else weight_D.float()
    return (x32_ND * scale_N1 * weight).to(x_ND.dtype)


class _RMSNorm(torch.autograd.Function):
    # On processors float32 arithmetic in place is faster than bfloat16's, which is converted to
    # float32 and back in every single operation: so convert once on the way in and once on the
    # way out.
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_D: Tensor | None, eps: float) -> Tensor:
        n_ND = x_ND.to(torch.float32, copy=True)
        scale_N1 = n_ND.square().mean(dim=-1, keepdim=True).add_(eps).rsqrt_()
        n_ND.mul_(scale_N1)
        if weight_D is not None:
            n_ND.mul_(weight_D.float())
        ctx.save_for_backward(x_ND, weight_D, scale_N1)
        return n_ND.to(x_ND.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        # With n = x·scale: dw = Σ_N g∘n and dx = scale · (g∘w − n · mean(n∘g∘w)).
        x_ND, weight_D, scale_N1 = ctx.saved_tensors
        n_ND = x_ND.to(torch.float32, copy=True).mul_(scale_N1)
        grad_ND = grads[0].to(torch.float32, copy=True)
        product_ND = grad_ND * n_ND
        if weight_D is None:
            mean_N1 = product_ND.mean(-1, keepdim=True)
            grad_ND.addcmul_(n_ND, mean_N1, value=-1).mul_(scale_N1)
            return grad_ND.to(x_ND.dtype), None, None
        grad_weight_D = product_ND.sum(dim=tuple(range(x_ND.dim() - 1))).to(weight_D.dtype)
        mean_N1 = (product_ND @ weight_D.float()).div_(x_ND.shape[-1]).unsqueeze(-1)
        grad_ND.mul_(weight_D.float()).addcmul_(n_ND, mean_N1, value=-1).mul_(scale_N1)
        return grad_ND.to(x_ND.dtype), grad_weight_D, None
