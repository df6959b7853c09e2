"""Cross entropy whose gradient a table's probabilities take part in: a teacher that has counted.

A word that follows once says little of the words that might have followed; a table that has
counted the whole text says what usually does. As in distillation (Hinton et al. 2015, arXiv
1503.02531), with an n-gram model as the teacher, which is free and knows all of the text from the
first step on. The model that comes of it is a plain one.

Shape letters: N rows (tokens), C rows of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.cross_entropy import CHUNK, IGNORE


def cross_entropy_taught(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    teacher_NV: Tensor,
    targets_N: Tensor,
    *,
    share: float,
    softcap: float | None = None,
) -> Tensor:
    """Summed nats of the targets, with the gradient of the nats of the mixture
    `(1 - share) · target + share · teacher`, a float32 scalar.

    The value is that of the text alone, so that it compares with losses of other runs.

    Args:
        hidden_ND: last hidden states; products are made in their dtype.
        weight_VD: matrix of the head, float32.
        teacher_NV: log probabilities, float32; they get no gradient.
        targets_N: the right word of each row, or -100 for rows that do not count.
        share: of the teacher, 0 to 1.
        softcap: bound of the scores; None for none.
    """
    loss: Tensor = _Taught.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, teacher_NV, targets_N.long(), share, softcap
    )
    return loss


def cross_entropy_taught_obvious(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    teacher_NV: Tensor,
    targets_N: Tensor,
    *,
    share: float,
    softcap: float | None = None,
) -> Tensor:
    """The slow version: all scores, in float32."""
    scores_NV = hidden_ND.float() @ weight_VD.float().T
    if softcap is not None:
        scores_NV = softcap * torch.tanh(scores_NV / softcap)
    text = F.cross_entropy(scores_NV, targets_N, ignore_index=IGNORE, reduction="sum")
    counts_N = targets_N != IGNORE
    own = F.cross_entropy(scores_NV[counts_N], teacher_NV[counts_N].exp(), reduction="sum")
    mixed = (1 - share) * text + share * own
    return text.detach() + mixed - mixed.detach()


class _Taught(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        teacher_NV: Tensor,
        targets_N: Tensor,
        share: float,
        softcap: float | None,
    ) -> Tensor:
        weight = weight_VD.to(hidden_ND.dtype)
        grad_ND, grad_VD = torch.empty_like(hidden_ND), torch.zeros_like(weight_VD)
        loss = weight_VD.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets_N), CHUNK):
            part = slice(start, start + CHUNK)
            h_CD = hidden_ND[part]
            s_CV = (h_CD @ weight.T).float()
            if softcap is not None:
                s_CV.mul_(1 / softcap).tanh_()
            log_p_CV = torch.log_softmax(s_CV * (1.0 if softcap is None else softcap), 1)
            counts_C1 = (targets_N[part] != IGNORE)[:, None]
            target_C1 = targets_N[part, None].clamp(min=0)
            loss -= (log_p_CV.gather(1, target_C1) * counts_C1).sum()
            wanted_CV = teacher_NV[part].exp().mul_(share)
            wanted_CV.scatter_add_(1, target_C1, wanted_CV.new_full(target_C1.shape, 1 - share))
            slope_CV = log_p_CV.exp_().sub_(wanted_CV).mul_(counts_C1)
            if softcap is not None:
                slope_CV.addcmul_(slope_CV * s_CV, s_CV, value=-1.0)  # d tanh: 1 - tanh²
            ds_CV = slope_CV.to(h_CD.dtype)
            torch.mm(ds_CV, weight, out=grad_ND[part])
            grad_VD += ds_CV.T @ h_CD
        ctx.grads = (grad_ND, grad_VD)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_VD = ctx.grads
        return grad_ND * grads[0].to(grad_ND.dtype), grad_VD * grads[0], None, None, None, None
