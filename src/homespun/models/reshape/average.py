"""The mean of several models' weights ("checkpoint averaging", "model soup").

Izmailov et al. 2018 (arXiv 1803.05407) average points of one run, Wortsman et al. 2022
(arXiv 2203.05482) fine-tunes of one model. Both need models that lie in one valley: the mean of two
runs from different random weights is as bad as random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from homespun.core import CheckpointError, ConfigError


def average_weights(
    models: Sequence[Mapping[str, Tensor]], weights: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """The weighted mean of each tensor, summed in float64, in the dtype of the first model.

    Args:
        models: weights by name; the same names and shapes in each.
        weights: one a model, not negative, divided by their sum; all equal where None.

    Raises:
        ConfigError: there is no model, or not one weight for each, or they add up to 0.
        CheckpointError: the models are of different shapes.
    """
    shares = [1.0] * len(models) if weights is None else list(weights)
    fit = len(shares) == len(models) > 0 and all(share >= 0 for share in shares)
    if not fit or not 0 < math.fsum(shares) < math.inf:
        raise ConfigError(
            f"an average of {len(models)} models needs as many weights, none below 0, one above",
            got=shares,
            remedy="leave the weights out for equal ones",
        )
    total = math.fsum(shares)
    mean: dict[str, Tensor] = {}
    for name, first in models[0].items():
        found = torch.zeros(first.shape, dtype=torch.float64, device=first.device)
        for model, share in zip(models, shares, strict=True):
            if model.keys() != models[0].keys() or model[name].shape != first.shape:
                raise CheckpointError(
                    f"models of different shapes cannot be averaged: they differ at '{name}'",
                    remedy="choose checkpoints of one run, or runs of one shape",
                )
            found.add_(model[name].to(torch.float64), alpha=share / total)
        mean[name] = found.to(first.dtype)
    return mean
