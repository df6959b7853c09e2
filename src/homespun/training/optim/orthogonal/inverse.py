"""Inverses of a stack of symmetric positive definite matrices, mostly by matrix products.

Shape letters: S stacked matrices, N rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Up to here LAPACK is faster than two halves and their products.
LEAF = 48


def invert_(matrix_SNN: Tensor) -> None:
    """Put the inverses in place of the matrices, which are symmetric and positive definite.

    By way of Cholesky's factor, whose condition is the root of the matrix's: inverting blocks of
    the matrix itself would be cheaper, and wrong altogether where one direction is much larger
    than the rest, as it often is in gradients.
    """
    root_inverse_(matrix_SNN)
    _transposed_times_itself_(matrix_SNN)


def root_inverse_(matrix_SNN: Tensor) -> None:
    """Put L⁻¹ in place of A = L Lᵀ, zeros above the diagonal. Reads the lower triangle alone.

    By halves: where K is the root inverse of the upper left block, B Kᵀ = N is the lower left of
    L; with M the root inverse of the lower right minus N Nᵀ, the blocks of L⁻¹ are K, -M N K and M.
    """
    size = matrix_SNN.size(-1)
    if size <= LEAF:
        root_SNN = torch.linalg.cholesky_ex(matrix_SNN)[0]
        one_NN = torch.eye(size, dtype=root_SNN.dtype, device=root_SNN.device)
        matrix_SNN.copy_(torch.linalg.solve_triangular(root_SNN, one_NN, upper=False))
        return
    half = size // 2
    upper, lower = matrix_SNN[:, :half, :half], matrix_SNN[:, half:, half:]
    corner = matrix_SNN[:, half:, :half]
    root_inverse_(upper)
    left = torch.bmm(corner, upper.mT)
    lower.copy_(torch.baddbmm(lower, left, left.mT, alpha=-1.0))
    root_inverse_(lower)
    corner.copy_(torch.bmm(lower, torch.bmm(left, upper)).neg_())
    matrix_SNN[:, :half, half:] = 0.0


def _transposed_times_itself_(root_SNN: Tensor) -> None:
    """Put Kᵀ K in place of the lower triangular K; its zeros save half of the products."""
    half = root_SNN.size(-1) // 2
    if root_SNN.size(-1) <= LEAF:
        root_SNN.copy_(torch.bmm(root_SNN.mT, root_SNN))
        return
    upper, lower = root_SNN[:, :half, :half], root_SNN[:, half:, half:]
    corner = root_SNN[:, half:, :half].clone()
    across = torch.bmm(corner.mT, lower)
    root_SNN[:, :half, half:] = across
    root_SNN[:, half:, :half] = across.mT
    upper.copy_(torch.baddbmm(torch.bmm(upper.mT, upper), corner.mT, corner))
    lower.copy_(torch.bmm(lower.mT, lower))
