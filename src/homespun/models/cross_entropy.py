"""Cross entropy straight from hidden states, without the scores of the whole batch in memory.

With N tokens and V words the scores are N·V numbers, the largest tensor of a small model by far:
they do not fit the cache, and autograd would keep several copies. Here a chunk of rows at a time
goes through product, softmax and both gradient products while it is in cache; only the gradients
are kept. The idea is that of Liger kernel and "Cut your losses" (Wijmans et al. 2024, arXiv
2411.09009).

With a softcap the scores are `cap · tanh(product / cap)`, as in Gemma 2
(arXiv 2408.00118, section 2.1). To these may be added what a table knows, times a strength.

A table may also teach. A word that follows once says little of the words that might have followed;
a table that has counted the whole text says what usually does. As in distillation (Hinton et al.
2015, arXiv 1503.02531), with an n-gram model as the teacher, which is free and knows all of the
text from the first step on. The model that comes of it is a plain one.

Shape letters: N rows (tokens), C rows of a chunk, P the same and its zeros, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.native.active import active_kernels
from homespun.models.native.library import NativeKernels

IGNORE = -100
"""Target of rows that do not count, as in `torch.nn.functional.cross_entropy`."""

CHUNK = 512
"""Rows a chunk; measured, see docs/design/models.md."""

PADDED = 64
"""Rows of bfloat16 come in multiples of this on a processor, the last ones zeros. Its library keeps
what it compiled for a product of each shape, a megabyte and more for the three of a chunk: where
every batch has another number of targets, as of conversations, hundreds of megabytes. Zeros change
no bit of the results."""

_TINY = 1e-30  # of probabilities; float32 keeps its full precision down to 1.2e-38


class Rows(Protocol):
    """Log probabilities, float32, rows contiguous, that get no gradient: a tensor (N, V), or what
    looks rows up when they are asked for, so that never more than a chunk is in memory."""

    def __getitem__(self, rows: Any, /) -> Tensor: ...


class Known(NamedTuple):
    """Attributes:
    log_probs_NV: of a table.
    strength_N: what each row of them is multiplied by, float32.
    """

    log_probs_NV: Rows
    strength_N: Tensor


class Teacher(NamedTuple):
    """Attributes:
    log_probs_NV: of a table.
    share: of its probabilities in what is aimed at, 0 to 1; the rest is the target's.
    """

    log_probs_NV: Rows
    share: float


def cross_entropy_from_hidden(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None = None,
    known: Known | None = None,
    teacher: Teacher | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Summed nats of the targets under `softmax(capped(h Wᵀ) + strength · known)`, a float32
    scalar.

    Args:
        hidden_ND: last hidden states; products are made in their dtype.
        weight_VD: matrix of the head, float32; its gradient is summed in float32.
        targets_N: the right word of each row, or -100 for rows that do not count.
        softcap: bound of the network's scores, greater than 0; None for none.
        known: of a table beside the network; None for none.
        teacher: gives the loss the gradient of the nats of the mixture `(1 - share) · target +
            share · teacher`. Its value stays that of the text, so that it compares with others.
        chunk: rows at a time.
    """
    task = _Task(
        softcap=softcap,
        chunk=chunk,
        with_gradients=torch.is_grad_enabled(),
        known_NV=None if known is None else known.log_probs_NV,
        teacher=teacher,
    )
    strength_N = None if known is None else known.strength_N
    loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, strength_N, targets_N.long(), task
    )
    return loss


def cross_entropy_obvious(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    softcap: float | None = None,
    known: Known | None = None,
    teacher: Teacher | None = None,
) -> Tensor:
    """The slow version: all scores, in float32."""
    logits_NV = hidden_ND.float() @ weight_VD.float().T
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    if known is not None:
        logits_NV = logits_NV + known.strength_N[:, None] * known.log_probs_NV[:]
    text = F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORE, reduction="sum")
    if teacher is None:
        return text
    counts_N = targets_N != IGNORE
    wanted_NV = teacher.log_probs_NV[counts_N].exp()
    own = F.cross_entropy(logits_NV[counts_N], wanted_NV, reduction="sum")
    mixed = (1 - teacher.share) * text + teacher.share * own
    return text.detach() + mixed - mixed.detach()


class _Task(NamedTuple):
    """What is asked for beside the tensors that get gradients."""

    softcap: float | None
    chunk: int
    with_gradients: bool
    known_NV: Rows | None
    teacher: Teacher | None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        strength_N: Tensor | None,
        targets_N: Tensor,
        task: _Task,
    ) -> Tensor:
        # Rows that do not count are left out before the work, not after.
        rows = (targets_N != IGNORE).nonzero().squeeze(1)
        ctx.all_rows = len(rows) == len(targets_N)
        ctx.shape = hidden_ND.shape
        if not ctx.all_rows:
            hidden_ND, targets_N = hidden_ND[rows], targets_N[rows]
            strength_N = None if strength_N is None else strength_N[rows]
        if len(targets_N) and not 0 <= int(targets_N.min()) <= int(targets_N.max()) < len(
            weight_VD
        ):  # a kernel would write beyond its scores
            raise IndexError(f"targets run from 0 to {len(weight_VD) - 1}")
        hidden_PD = _padded(hidden_ND)
        weight = weight_VD.to(hidden_ND.dtype)
        # `needs_input_grad` does not know of `torch.no_grad`, hence the flag.
        need_hidden, need_weight, need_strength = (
            task.with_gradients and need for need in ctx.needs_input_grad[:3]
        )
        grad_PD = torch.empty_like(hidden_PD) if need_hidden else None
        grad_VD = torch.zeros_like(weight_VD) if need_weight else None
        grad_N = torch.empty_like(strength_N) if need_strength and strength_N is not None else None
        loss = weight_VD.new_zeros((), dtype=torch.float32)
        with_gradients = need_hidden or need_weight or need_strength
        work = _Chunk(task.softcap, active_kernels(hidden_ND))
        for start in range(0, len(targets_N), task.chunk):
            part = slice(start, start + task.chunk)
            own = part if ctx.all_rows else rows[part]
            h_PD, target_C = hidden_PD[part], targets_N[part]
            beside = teacher = None
            if task.known_NV is not None and strength_N is not None:
                beside = _Beside(task.known_NV[own], strength_N[part])
            if task.teacher is not None and with_gradients:
                teacher = _Taught(task.teacher.log_probs_NV[own], task.teacher.share)
            nats, ds_PV, slope_C = work(
                h_PD, weight, target_C, beside, teacher, gradient=with_gradients
            )
            loss += nats
            if grad_N is not None and slope_C is not None:
                grad_N[part] = slope_C
            if grad_PD is not None:
                work.multiply(ds_PV, weight, grad_PD[part])
            if grad_VD is not None:
                if h_PD.dtype == grad_VD.dtype:
                    torch.addmm(grad_VD, ds_PV.T, h_PD, out=grad_VD)
                else:
                    grad_VD += ds_PV.T @ h_PD
            del ds_PV, beside, teacher  # their memory serves the next chunk
        ctx.rows = rows
        ctx.grads = (None if grad_PD is None else grad_PD[: len(targets_N)], grad_VD, grad_N)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_VD, grad_N = (
            None if grad is None else grad * grads[0].to(grad.dtype) for grad in ctx.grads
        )
        if not ctx.all_rows:
            if grad_ND is not None:
                grad_ND = grad_ND.new_zeros(ctx.shape).index_copy_(0, ctx.rows, grad_ND)
            if grad_N is not None:
                grad_N = grad_N.new_zeros(ctx.shape[0]).index_copy_(0, ctx.rows, grad_N)
        return grad_ND, grad_VD, grad_N, None, None


class _Beside(NamedTuple):
    """A chunk of what is known: log probabilities, and what each row is multiplied by."""

    log_probs_CV: Tensor
    strength_C: Tensor


class _Taught(NamedTuple):
    """A chunk of what a teacher says, and how much it counts."""

    log_probs_CV: Tensor
    share: float


class _Chunk(NamedTuple):
    """How a chunk of rows is worked on."""

    softcap: float | None
    kernels: NativeKernels | None

    def __call__(
        self,
        h_PD: Tensor,
        weight: Tensor,
        target_C: Tensor,
        known: _Beside | None,
        teacher: _Taught | None,
        *,
        gradient: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Summed nats, their gradient by the products (in the dtype of those, zeros where rows are)
        and by the strength of what is known."""
        s_PV = h_PD.new_empty(len(h_PD), len(weight))
        self.multiply(h_PD, weight.T, s_PV)
        s_CV = s_PV[: len(target_C)]
        if self.kernels is None or teacher is not None:
            nats, slope_CV, slope_C = _nats_and_slope(
                s_CV.float(), target_C, self.softcap, known, teacher
            )
            if slope_CV.dtype == s_PV.dtype:  # float32, which has no zeros at its end
                return nats, slope_CV, slope_C
            s_PV[: len(target_C)] = slope_CV
            return nats, s_PV, slope_C
        nats_C, slope_C = self.kernels.cross_entropy(
            s_CV, target_C, self.softcap, known, gradient=gradient
        )
        return nats_C.sum(), s_PV, slope_C

    def multiply(self, a: Tensor, b: Tensor, out: Tensor) -> None:
        """`out = a @ b`."""
        kernels = self.kernels
        if kernels is not None and kernels.has_product and a.dtype == torch.float32:
            kernels.product(a, b, out=out)
        else:
            torch.mm(a, b, out=out)


def _padded(hidden_ND: Tensor) -> Tensor:
    """(P, D); see `PADDED`."""
    num = -len(hidden_ND) % PADDED
    if not num or hidden_ND.dtype != torch.bfloat16 or hidden_ND.device.type != "cpu":
        return hidden_ND
    return F.pad(hidden_ND, (0, 0, 0, num))


def _nats_and_slope(
    s_CV: Tensor,
    target_C: Tensor,
    softcap: float | None,
    known: _Beside | None,
    teacher: _Taught | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Summed nats of the targets, their derivative by the scores before the softcap, and by the
    strength of what is known."""
    target_C1 = target_C[:, None]
    if softcap is not None:
        s_CV = s_CV.mul_(1 / softcap).tanh_().mul_(softcap)
    z_CV = s_CV
    if known is not None:
        z_CV = torch.addcmul(s_CV, known.strength_C[:, None], known.log_probs_CV)
    p_CV = torch.softmax(z_CV, 1)
    nats = _nats(z_CV, p_CV, target_C1)
    # d nats / d scores = p - onehot. It is small where the model is sure of the target, so it is
    # taken before p is rounded: next to 1, bfloat16 has steps of 1/256.
    share = 0.0 if teacher is None else teacher.share
    p_CV.scatter_add_(1, target_C1, p_CV.new_full((1, 1), share - 1.0).expand_as(target_C1))
    if teacher is not None:
        p_CV.sub_(teacher.log_probs_CV.exp(), alpha=share)
    slope_C = None if known is None else (p_CV * known.log_probs_CV).sum(1)
    if softcap is not None:
        s_CV.mul_(1 / softcap)  # d tanh: 1 - (score / cap)²
        p_CV.addcmul_(p_CV * s_CV, s_CV, value=-1.0)
    return nats, p_CV, slope_C


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
