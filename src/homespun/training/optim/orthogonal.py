"""The nearest semi-orthogonal matrices of a stack, roughly: all singular values become about 1.

Newton-Schulz as in Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(kellerjordan.github.io/posts/muon).

Shape letters: S stacked matrices, R rows, C columns.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Method = Literal["quintic"]

# Jordan et al. 2024: a x + b x^3 + c x^5, whose slope at 0 is as steep as it can be while all
# singular values still end near 1 (in about [0.7, 1.2]) after five rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)
NUM_ROUNDS = 5


def orthogonalise(matrix_SRC: Tensor, method: Method = "quintic") -> Tensor:
    """Newton-Schulz: the nearest semi-orthogonal matrices, roughly, of a stack [S, R, C].

    A function of each matrix alone, whole matrices needed. Works on the shorter side, so the inner
    products are min(R, C) squared.
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
