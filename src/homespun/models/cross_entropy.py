"""Cross entropy straight from hidden states, without the scores of the whole batch in memory.

With N tokens and V words the scores are N·V numbers, the largest tensor of a small model by far:
they do not fit the cache, and autograd would keep several copies. Here a chunk of rows at a time
goes through product, softmax and both gradient products while it is in cache; only the gradients
are kept. The idea is that of Liger kernel and "Cut your losses" (Wijmans et al. 2024, arXiv
2411.09009).

With a softcap the scores are `cap · tanh(product / cap)`, as in Gemma 2
(arXiv 2408.00118, section 2.1).

Shape letters: N rows (tokens), C rows of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.native.active import active_kernels

IGNORE = -100
"""Target of rows that do not count, as in `torch.nn.functional.cross_entropy`."""

CHUNK = 512
"""Rows a chunk; measured, see docs/design/models.md."""

_TINY = 1e-30  # of probabilities; float32 keeps its full precision down to 1.2e-38


def cross_entropy_from_hidden(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Summed nats of the targets, a float32 scalar.

    Args:
        hidden_ND: last hidden states; products are made in their dtype.
        weight_VD: matrix of the head, float32; its gradient is summed in float32.
        targets_N: the right word of each row, or -100 for rows that do not count.
        softcap: bound of the scores, greater than 0; None for none.
        chunk: rows at a time.
    """
    loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, targets_N.long(), softcap, chunk, torch.is_grad_enabled()
    )
    return loss


def cross_entropy_obvious(
    hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, softcap: float | None = None
) -> Tensor:
    """The slow version: all scores, in float32."""
    logits_NV = hidden_ND.float() @ weight_VD.float().T
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    return F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORE, reduction="sum")


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        chunk: int,
        with_gradients: bool,
    ) -> Tensor:
        # Rows that do not count are left out before the work, not after.
        rows = (targets_N != IGNORE).nonzero().squeeze(1)
        ctx.all_rows = len(rows) == len(targets_N)
        ctx.shape = hidden_ND.shape
        used_ND = hidden_ND if ctx.all_rows else hidden_ND[rows]
        targets = targets_N if ctx.all_rows else targets_N[rows]
        weight = weight_VD.to(hidden_ND.dtype)
        # `needs_input_grad` does not know of `torch.no_grad`, hence the flag.
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        grad_ND = torch.empty_like(used_ND) if with_gradients and need_hidden else None
        grad_VD = torch.zeros_like(weight_VD) if with_gradients and need_weight else None
        loss = weight_VD.new_zeros((), dtype=torch.float32)
        with_gradients = grad_ND is not None or grad_VD is not None
        kernels = active_kernels(hidden_ND)
        for start in range(0, len(targets), chunk):
            h_CD = used_ND[start : start + chunk]
            target_C1 = targets[start : start + chunk, None]
            s_CV = (h_CD @ weight.T).float()
            if kernels is not None:
                target_C = targets[start : start + chunk]
                loss += kernels.cross_entropy(
                    s_CV, target_C, softcap, gradient=with_gradients
                ).sum()
                slope_CV = s_CV
            else:
                nats, slope_CV = _nats_and_slope(s_CV, target_C1, softcap)
                loss += nats
            if not with_gradients:
                continue
            ds_CV = slope_CV.to(h_CD.dtype)
            del s_CV, slope_CV  # their memory serves the next chunk
            if grad_ND is not None:
                torch.mm(ds_CV, weight, out=grad_ND[start:][: len(h_CD)])
            if grad_VD is not None:
                if h_CD.dtype == grad_VD.dtype:
                    torch.addmm(grad_VD, ds_CV.T, h_CD, out=grad_VD)
                else:
                    grad_VD += ds_CV.T @ h_CD
        ctx.rows = rows
        ctx.grads = (grad_ND, grad_VD)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_VD = ctx.grads
        if grad_ND is not None:
            grad_ND = grad_ND * grads[0].to(grad_ND.dtype)
            if not ctx.all_rows:
                grad_ND = grad_ND.new_zeros(ctx.shape).index_copy_(0, ctx.rows, grad_ND)
        if grad_VD is not None:
            grad_VD = grad_VD * grads[0]
        return grad_ND, grad_VD, None, None, None, None


def _nats_and_slope(
    s_CV: Tensor, target_C1: Tensor, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """Summed nats of the targets, and their derivative by the scores before the softcap."""
    if softcap is not None:
        s_CV = s_CV.mul_(1 / softcap).tanh_().mul_(softcap)
    p_CV = torch.softmax(s_CV, 1)
    nats = _nats(s_CV, p_CV, target_C1)
    # d nats / d scores = p - onehot. It is small where the model is sure of the target, so it is
    # taken before p is rounded: next to 1, bfloat16 has steps of 1/256.
    p_CV.scatter_add_(1, target_C1, p_CV.new_full((1, 1), -1.0).expand_as(target_C1))
    if softcap is not None:
        s_CV.mul_(1 / softcap)  # d tanh: 1 - (score / cap)²
        p_CV.addcmul_(p_CV * s_CV, s_CV, value=-1.0)
    return nats, p_CV


def _nats(s_CV: Tensor, p_CV: Tensor, target_C1: Tensor) -> Tensor:
    """Summed -log p of the targets, given scores and their softmax.

    The probability itself says it, without another pass over the scores, unless it is so small
    that float32 rounds it away.
    """
    p_C1 = p_CV.gather(1, target_C1)
    if s_CV.device.type == "cpu" and float(p_C1.min()) > _TINY:
        return p_C1.log_().sum().neg_()
    # Log of the sum of exponentials, from the word whose probability is not tiny.
    total_C1 = s_CV.amax(1, keepdim=True) - p_CV.amax(1, keepdim=True).log_()
    return (total_C1 - s_CV.gather(1, target_C1)).sum()
