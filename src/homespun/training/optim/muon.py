"""Muon: momentum whose update matrices are made orthogonal before they are applied.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(kellerjordan.github.io/posts/muon), with the update scale of Moonlight (arXiv 2502.16982), so that
one learning rate serves Muon and AdamW alike.

Shape letters: S stacked matrices, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

# Jordan et al. 2024: a x + b x^3 + c x^5, whose slope at 0 is as steep as it can be while all
# singular values still end near 1 (in about [0.7, 1.2]) after five rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)
NUM_ROUNDS = 5
# Moonlight, section 2.2: an orthogonal R x C matrix has root mean square 1/sqrt(max(R, C)), while
# AdamW's updates measure 0.2 to 0.4; this brings the one to the other.
ADAMW_RMS = 0.2


class Muon:
    """Momentum, Nesterov, Newton-Schulz. Matrices of one shape are stacked and treated at once.

    Args:
        matrices: the parameters by name, each [R, C] in fp32.
        learning_rate: peak rate, on AdamW's scale.
        momentum: decay of the running gradient.
        weight_decay: decoupled, multiplied by the learning rate as in AdamW.
        dtype: of the Newton-Schulz products. bfloat16 is enough for them, and faster on processors
            that multiply it natively.
    """

    def __init__(
        self,
        matrices: Mapping[str, Tensor],
        *,
        learning_rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._dtype = dtype
        self._stacks: dict[tuple[int, int], list[str]] = {}
        self._matrices = dict(matrices)
        for name, matrix in matrices.items():
            rows, columns = matrix.shape
            self._stacks.setdefault((rows, columns), []).append(name)
        self._running = {
            shape: torch.zeros(len(names), *shape, device=matrices[names[0]].device)
            for shape, names in self._stacks.items()
        }

    @torch.no_grad()
    def step(self, lr_scale: float) -> None:
        """Apply the gradients in `.grad`; a matrix without one counts as a gradient of zero."""
        rate = self._learning_rate * lr_scale
        for shape, names in self._stacks.items():
            params: list[Tensor] = [self._matrices[name] for name in names]
            gradient_SRC = torch.stack(
                [p.grad if p.grad is not None else torch.zeros_like(p) for p in params]
            )
            running_SRC = self._running[shape]
            running_SRC.lerp_(gradient_SRC, 1.0 - self._momentum)
            ahead_SRC = gradient_SRC.lerp_(running_SRC, self._momentum)
            update_SRC = orthogonalise(ahead_SRC.to(self._dtype)).to(torch.float32)
            if self._weight_decay:
                torch._foreach_mul_(params, 1.0 - rate * self._weight_decay)
            torch._foreach_add_(params, update_SRC.unbind(), alpha=-rate * update_scale(shape))

    def state_tensors(self) -> dict[str, Tensor]:
        """The running gradient of every matrix, by its name: views, so copying into them loads."""
        return {
            f"{name}.momentum": self._running[shape][place]
            for shape, names in self._stacks.items()
            for place, name in enumerate(names)
        }


def update_scale(shape: tuple[int, int]) -> float:
    """What an orthogonal update of this shape is multiplied by."""
    return ADAMW_RMS * math.sqrt(max(shape))


def orthogonalise(matrix_SRC: Tensor) -> Tensor:
    """Newton-Schulz: the nearest semi-orthogonal matrices, roughly, of a stack [S, R, C].

    Works on the shorter side, so the inner products are min(R, C) squared.
    """
    a, b, c = QUINTIC
    is_tall = matrix_SRC.size(1) > matrix_SRC.size(2)
    x = matrix_SRC.mT if is_tall else matrix_SRC
    # The Frobenius norm bounds the largest singular value, which must not exceed 1.
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NUM_ROUNDS):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if is_tall else x


def orthogonalise_one(matrix_RC: Tensor) -> Tensor:
    """`orthogonalise` for a single matrix, written as the paper has it: slow and plain."""
    a, b, c = QUINTIC
    if matrix_RC.size(0) > matrix_RC.size(1):
        return orthogonalise_one(matrix_RC.T).T
    x: Tensor = matrix_RC / (torch.linalg.matrix_norm(matrix_RC) + 1e-7)
    for _ in range(NUM_ROUNDS):
        x = a * x + b * (x @ x.T @ x) + c * (x @ x.T @ x @ x.T @ x)
    return x
