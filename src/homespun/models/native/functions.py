"""The compiled functions with their gradients. Obvious twins: see the modules that call these.

Shape letters: as in `library`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.native.library import NativeKernels


class NativeRMSNorm(torch.autograd.Function):
    """Arguments: kernels, x_ND, weight_D in float32 or None, eps."""

    @staticmethod
    def forward(
        ctx: Any, kernels: NativeKernels, x_ND: Tensor, weight_D: Tensor | None, eps: float
    ) -> Tensor:
        x_ND = x_ND.contiguous()
        ctx.is_weighted = weight_D is not None
        if weight_D is None:
            weight_D = x_ND.new_ones(x_ND.shape[-1], dtype=torch.float32)
        y_ND, factor_N = kernels.rms_norm(x_ND, weight_D, eps)
        ctx.kernels = kernels
        ctx.save_for_backward(x_ND, weight_D, factor_N)
        return y_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor | None, None]:
        dx_ND, dweight_D = ctx.kernels.rms_norm_backward(*ctx.saved_tensors, grads[0].contiguous())
        return None, dx_ND, dweight_D if ctx.is_weighted else None, None


class NativeRotate(torch.autograd.Function):
    """Arguments: kernels, x_BTHK, cos, sin."""

    @staticmethod
    def forward(
        ctx: Any, kernels: NativeKernels, x_BTHK: Tensor, cos: Tensor, sin: Tensor
    ) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(cos, sin)
        return kernels.rotate(x_BTHK.contiguous(), cos, sin, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None]:
        turned = ctx.kernels.rotate(grads[0].contiguous(), *ctx.saved_tensors, -1.0)
        return None, turned, None, None


class NativeGatedSilu(torch.autograd.Function):
    """Arguments: kernels, gate_F, up_F. Keeps its inputs and nothing else."""

    @staticmethod
    def forward(ctx: Any, kernels: NativeKernels, gate_F: Tensor, up_F: Tensor) -> Tensor:
        gate_F, up_F = gate_F.contiguous(), up_F.contiguous()
        ctx.kernels = kernels
        ctx.save_for_backward(gate_F, up_F)
        return kernels.elementwise("gated_silu", (gate_F, up_F), 1)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor]:
        inputs = (*ctx.saved_tensors, grads[0].contiguous())
        dgate_F, dup_F = ctx.kernels.elementwise("gated_silu_backward", inputs, 2)
        return None, dgate_F, dup_F


class NativeSquaredRelu(torch.autograd.Function):
    """Arguments: kernels, x_F."""

    @staticmethod
    def forward(ctx: Any, kernels: NativeKernels, x_F: Tensor) -> Tensor:
        x_F = x_F.contiguous()
        ctx.kernels = kernels
        ctx.save_for_backward(x_F)
        return kernels.elementwise("squared_relu", (x_F,), 1)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        inputs = (*ctx.saved_tensors, grads[0].contiguous())
        return None, ctx.kernels.elementwise("squared_relu_backward", inputs, 1)[0]


class NativeLinears(torch.autograd.Function):
    """Arguments: kernels, x_ND, one or more weight_FD, all float32. One result a weight; where they
    come back, the gradients of `x_ND` are added up inside the products."""

    @staticmethod
    def forward(
        ctx: Any, kernels: NativeKernels, x_ND: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        rows_ND = x_ND.reshape(-1, x_ND.shape[-1])
        ctx.kernels = kernels
        ctx.shape = x_ND.shape
        ctx.save_for_backward(rows_ND, *weights)
        outputs = (kernels.product(rows_ND, weight.T) for weight in weights)
        return tuple(y.view(*x_ND.shape[:-1], y.shape[-1]) for y in outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, *weights = ctx.saved_tensors
        dx_ND: Tensor | None = None
        dweights: list[Tensor | None] = []
        needs_x, *needs = ctx.needs_input_grad[1:]
        for grad, weight_FD, is_needed in zip(grads, weights, needs, strict=True):
            grad_NF = grad.reshape(-1, grad.shape[-1])
            if needs_x:
                dx_ND = ctx.kernels.product(grad_NF, weight_FD, plus=dx_ND, out=dx_ND)
            dweights.append(grad_NF.T @ x_ND if is_needed else None)
        return None, None if dx_ND is None else dx_ND.view(ctx.shape), *dweights


class NativeAttention(torch.autograd.Function):
    """Arguments: kernels, q_BHTK, k_BGTK, v_BGTK, bias_BTT or None.

    Scores are never in memory, only their log-sum-exp, as in FlashAttention-2 (Dao 2023, arXiv
    2307.08691); memory is linear in T.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernels: NativeKernels,
        q_BHTK: Tensor,
        k_BGTK: Tensor,
        v_BGTK: Tensor,
        bias_BTT: Tensor | None,
    ) -> Tensor:
        q, k, v = (_components_adjacent(x) for x in (q_BHTK, k_BGTK, v_BGTK))
        bias_BTT = None if bias_BTT is None else bias_BTT.float().contiguous()
        out_BHTK, lse_BHT = kernels.attention(q, k, v, bias_BTT)
        ctx.kernels = kernels
        ctx.save_for_backward(q, k, v, out_BHTK, lse_BHT, bias_BTT)
        return out_BHTK

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        *saved, bias_BTT = ctx.saved_tensors
        grad_BHTK = _components_adjacent(grads[0])
        dq, dk, dv = ctx.kernels.attention_backward(tuple(saved), grad_BHTK, bias_BTT)
        return None, dq, dk, dv, None


def _components_adjacent(x_BHTK: Tensor) -> Tensor:
    """As the kernels need it: elements are read in pairs, which must not lie across one another."""
    is_plain = x_BHTK.stride(-1) == 1 and x_BHTK.stride(-2) % 2 == 0
    return x_BHTK if is_plain else x_BHTK.contiguous()
