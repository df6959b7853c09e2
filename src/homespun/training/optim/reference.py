"""The optimisers once more, one parameter at a time and straight from the papers: slow and plain.

Each takes a parameter and its gradients, one a step, and gives what the parameter becomes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def adamw_one(
    parameter: Tensor,
    gradients: Sequence[Tensor],
    *,
    learning_rates: Sequence[float],
    betas: tuple[float, float],
    eps: float,
    weight_decays: Sequence[float],
    cautious: bool = False,
) -> Tensor:
    """AdamW: arXiv 1711.05101, algorithm 2; `cautious` as in arXiv 2510.12402."""
    mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
    steps = zip(gradients, learning_rates, weight_decays, strict=True)
    for count, (gradient, rate, decay) in enumerate(steps, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        unbiased_mean = mean / (1 - betas[0] ** count)
        unbiased_root = square.sqrt() / math.sqrt(1 - betas[1] ** count)
        update = unbiased_mean / (unbiased_root + eps)
        parameter = parameter - rate * update - rate * decay * _decayed(parameter, update, cautious)
    return parameter


def sgd_one(
    parameter: Tensor,
    gradients: Sequence[Tensor],
    *,
    learning_rates: Sequence[float],
    momentum: float,
    nesterov: bool,
    weight_decays: Sequence[float],
    cautious: bool = False,
) -> Tensor:
    """SGD with momentum: arXiv 1711.05101, algorithm 1."""
    running = torch.zeros_like(parameter)
    for gradient, rate, decay in zip(gradients, learning_rates, weight_decays, strict=True):
        running = momentum * running + gradient
        update = gradient + momentum * running if nesterov else running
        parameter = parameter - rate * update - rate * decay * _decayed(parameter, update, cautious)
    return parameter


def muon_one(  # noqa: PLR0913 - plain values, one an option
    parameter_RC: Tensor,
    gradients: Sequence[Tensor],
    *,
    orthogonalise: Callable[[Tensor], Tensor],
    learning_rates: Sequence[float],
    momenta: Sequence[float],
    nesterov: bool = True,
    weight_decays: Sequence[float],
    cautious: bool = False,
    scale: str = "match_rms_adamw",
    variance: str = "none",
    variance_beta2: float = 0.95,
) -> Tensor:
    """Muon (kellerjordan.github.io/posts/muon) and NorMuon (arXiv 2510.05491, algorithm 1).

    `orthogonalise` is for one matrix [R, C].
    """
    rows, columns = parameter_RC.shape
    is_by_columns = variance == "longer_side" and columns > rows
    running = torch.zeros_like(parameter_RC)
    square = parameter_RC.new_zeros(columns if is_by_columns else rows)
    steps = zip(gradients, learning_rates, momenta, weight_decays, strict=True)
    for gradient, rate, momentum, decay in steps:
        running = momentum * running + (1 - momentum) * gradient
        ahead = (1 - momentum) * gradient + momentum * running if nesterov else running
        update = orthogonalise(ahead)
        if variance != "none":
            if is_by_columns:
                update = update.T
            mean_square = torch.stack([row.dot(row) / len(row) for row in update])
            square = variance_beta2 * square + (1 - variance_beta2) * mean_square
            update = torch.stack(
                [row / math.sqrt(v) for row, v in zip(update, square.tolist(), strict=True)]
            )
            if is_by_columns:
                update = update.T
            update = update * math.sqrt(min(rows, columns)) / torch.linalg.matrix_norm(update)
        if scale == "match_rms_adamw":
            update = 0.2 * math.sqrt(max(rows, columns)) * update
        elif rows > columns:
            update = math.sqrt(rows / columns) * update
        decayed = _decayed(parameter_RC, update, cautious)
        parameter_RC = parameter_RC - rate * update - rate * decay * decayed
    return parameter_RC


def _decayed(parameter: Tensor, update: Tensor, cautious: bool) -> Tensor:
    """What weight decay shrinks: everything, or what the update moves towards zero."""
    if not cautious:
        return parameter
    return torch.where(parameter * update >= 0, parameter, torch.zeros_like(parameter))
