"""Causal attention for training on a processor: the whole of it, block by block of queries.

PyTorch's fused CPU kernel computes small tiles with little parallel work in each. At lengths up to
about a thousand the scores of a block of queries fit the cache, and one batched product over all
heads, a softmax and another product are several times as fast, above all backwards. Only keys up
to the block's last query are touched, which saves nearly half of the work.

Shape letters: B batch, T time, H query heads, G key-value heads, R = H/G queries a key,
N = B·G, K head width, Q queries of a block, S keys up to the block's end.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.native.active import active_kernels
from homespun.models.native.functions import NativeAttention
from homespun.models.native.library import NativeKernels

BLOCK = 128
"""Queries a block; measured best at T = 256, see docs/design/models.md."""


def causal_attention(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, bias_BTT: Tensor | None = None
) -> Tensor:
    """`softmax(q kᵀ / sqrt(K) + bias) v` where no query sees a later key.

    Args:
        q_BHTK: queries; H is a multiple of G and heads h·R .. h·R+R-1 share key-value head h.
        k_BGTK: keys, as many as queries.
        v_BGTK: values.
        bias_BTT: added to the scores, in their dtype; -inf hides a key. It must hide the future
            itself where given.

    Returns:
        (B, H, T, K) in the dtype of `q_BHTK`. Without compiled kernels, scores are rounded to that
        dtype once, before the softmax, whose sums are float32; kernels do not round them.
    """
    kernels = attention_kernels(q_BHTK)
    if kernels is not None:
        return NativeAttention.apply(kernels, q_BHTK, k_BGTK, v_BGTK, bias_BTT)  # type: ignore
    out_BHTK: Tensor = _CausalAttention.apply(  # type: ignore[no-untyped-call]
        q_BHTK, k_BGTK, v_BGTK, bias_BTT
    )
    return out_BHTK


def attention_kernels(q_BHTK: Tensor) -> NativeKernels | None:
    """The compiled kernels in use where they can serve `q_BHTK`: of bfloat16 they read two numbers
    of a head at a time, so a head must have an even number."""
    is_served = q_BHTK.dtype == torch.float32 or q_BHTK.shape[-1] % 2 == 0
    return active_kernels(q_BHTK) if is_served else None


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias_BTT: Tensor | None) -> Tensor:
        B, H, T, K = q.shape
        G = k.shape[1]
        R = H // G
        ctx.shape, ctx.scale = (B, H, G, R, T, K), K**-0.5
        q_NRTK = q.reshape(B * G, R, T, K)
        k_NKT = k.reshape(B * G, T, K).transpose(1, 2)
        v_NTK = v.reshape(B * G, T, K)
        out_NRTK = torch.empty_like(q_NRTK)
        future = torch.full((min(BLOCK, T),) * 2, float("-inf"), dtype=q.dtype, device=q.device)
        future.triu_(1)
        weights = []
        for start in range(0, T, BLOCK):
            stop = min(start + BLOCK, T)
            Q = stop - start
            q_NQK = q_NRTK[:, :, start:stop].reshape(B * G, R * Q, K)
            if bias_BTT is None:
                mask_QS = q.new_zeros(Q, stop)
                mask_QS[:, start:] = future[:Q, :Q]
                s_NQS = torch.baddbmm(
                    mask_QS.repeat(R, 1), q_NQK, k_NKT[:, :, :stop], alpha=ctx.scale
                )
            else:
                s_NQS = torch.bmm(q_NQK, k_NKT[:, :, :stop]).mul_(ctx.scale)
                bias = bias_BTT[:, None, None, start:stop, :stop]
                s_NQS.view(B, G, R, Q, stop).add_(bias)
            w_NQS = torch.softmax(s_NQS, -1)
            weights.append(w_NQS)
            out_NQK = torch.bmm(w_NQS, v_NTK[:, :stop])
            out_NRTK[:, :, start:stop] = out_NQK.view(B * G, R, Q, K)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(q_NRTK, k_NKT, v_NTK, *weights)
        return out_NRTK.view(B, H, T, K)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        B, H, G, R, T, K = ctx.shape
        q_NRTK, k_NKT, v_NTK, *weights = ctx.saved_tensors
        grad_NRTK = grads[0].reshape(B * G, R, T, K)
        k_NTK, v_NKT = k_NKT.transpose(1, 2), v_NTK.transpose(1, 2)
        dq_NRTK = torch.empty_like(q_NRTK)
        # Keys and values gather from several blocks: their gradients are summed in float32.
        dk_NTK = k_NTK.new_zeros(k_NTK.shape, dtype=torch.float32)
        dv_NTK = torch.zeros_like(dk_NTK)
        for w_NQS, start in zip(weights, range(0, T, BLOCK), strict=True):
            stop = min(start + BLOCK, T)
            Q = stop - start
            grad_NQK = grad_NRTK[:, :, start:stop].reshape(B * G, R * Q, K)
            q_NQK = q_NRTK[:, :, start:stop].reshape(B * G, R * Q, K)
            dv_NTK[:, :stop] += torch.bmm(w_NQS.transpose(1, 2), grad_NQK)
            dw_NQS = torch.bmm(grad_NQK, v_NKT[:, :, :stop])
            ds_NQS = torch.ops.aten._softmax_backward_data(dw_NQS, w_NQS, -1, w_NQS.dtype)
            dk_NTK[:, :stop] += torch.bmm(ds_NQS.transpose(1, 2), q_NQK)
            dq_NQK = torch.bmm(ds_NQS, k_NTK[:, :stop])
            dq_NRTK[:, :, start:stop] = dq_NQK.view(B * G, R, Q, K)
        dtype = q_NRTK.dtype
        return (
            dq_NRTK.mul_(ctx.scale).view(B, H, T, K),
            dk_NTK.mul_(ctx.scale).to(dtype).view(B, G, T, K),
            dv_NTK.to(dtype).view(B, G, T, K),
            None,
        )
