"""Cross entropy of a network's scores and a table's log probabilities together, chunk by chunk.

Shape letters: N rows (tokens), C rows of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.cross_entropy import CHUNK, IGNORE


def cross_entropy_with_prior(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    strength_N: Tensor,
    prior_NV: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None = None,
) -> Tensor:
    """Summed nats of the targets under `softmax(capped(h Wᵀ) + s · prior)`, a float32 scalar.

    Args:
        hidden_ND: last hidden states; products are made in their dtype.
        weight_VD: matrix of the head, float32.
        strength_N: s of each row, float32.
        prior_NV: log probabilities of the table, float32; they get no gradient.
        targets_N: the right word of each row, or -100 for rows that do not count.
        softcap: bound of the network's scores; None for none.
    """
    loss: Tensor = _PriorCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, strength_N, prior_NV, targets_N.long(), softcap
    )
    return loss


def cross_entropy_with_prior_obvious(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    strength_N: Tensor,
    prior_NV: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None = None,
) -> Tensor:
    """The slow version: all scores, in float32."""
    scores_NV = hidden_ND.float() @ weight_VD.float().T
    if softcap is not None:
        scores_NV = softcap * torch.tanh(scores_NV / softcap)
    scores_NV = scores_NV + strength_N[:, None] * prior_NV
    return F.cross_entropy(scores_NV, targets_N, ignore_index=IGNORE, reduction="sum")


class _PriorCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        strength_N: Tensor,
        prior_NV: Tensor,
        targets_N: Tensor,
        softcap: float | None,
    ) -> Tensor:
        weight = weight_VD.to(hidden_ND.dtype)
        needs_gradients = any(ctx.needs_input_grad[:3])
        grad_ND, grad_VD = torch.empty_like(hidden_ND), torch.zeros_like(weight_VD)
        grad_N = torch.empty_like(strength_N)
        loss = weight_VD.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets_N), CHUNK):
            part = slice(start, start + CHUNK)
            h_CD, prior_CV = hidden_ND[part], prior_NV[part]
            s_CV = (h_CD @ weight.T).float()
            if softcap is not None:
                s_CV.mul_(1 / softcap).tanh_()
            scale = 1.0 if softcap is None else softcap
            log_p_CV = torch.log_softmax(
                torch.addcmul(s_CV * scale, strength_N[part, None], prior_CV), 1
            )
            counts_C1 = (targets_N[part] != IGNORE)[:, None]
            target_C1 = targets_N[part, None].clamp(min=0)
            loss -= (log_p_CV.gather(1, target_C1) * counts_C1).sum()
            if not needs_gradients:
                continue
            slope_CV = log_p_CV.exp_()
            slope_CV.scatter_add_(
                1, target_C1, slope_CV.new_full((1, 1), -1.0).expand_as(target_C1)
            )
            slope_CV.mul_(counts_C1)
            torch.sum(slope_CV * prior_CV, 1, out=grad_N[part])
            if softcap is not None:
                slope_CV.addcmul_(slope_CV * s_CV, s_CV, value=-1.0)  # d tanh: 1 - tanh²
            ds_CV = slope_CV.to(h_CD.dtype)
            torch.mm(ds_CV, weight, out=grad_ND[part])
            grad_VD += ds_CV.T @ h_CD
        ctx.grads = (grad_ND, grad_VD, grad_N)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_VD, grad_N = ctx.grads
        return (
            grad_ND * grads[0].to(grad_ND.dtype),
            grad_VD * grads[0],
            grad_N * grads[0],
            None,
            None,
            None,
        )
