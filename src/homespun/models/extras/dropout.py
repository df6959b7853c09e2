"""Dropout (Srivastava et al. 2014): numbers left out at random while training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 256


def dropped(x: Tensor, share: float) -> Tensor:
    """`x` with about `share` of its numbers set to zero and the others made larger, so that the
    mean stays.

    All draws hang on torch's global generator, which the training loop seeds anew in each step. On
    a processor one number of it begins a stream of random bytes, one for each number of `x`: a
    third of the time of torch's own draws. The share is then rounded to a 256th.
    """
    if share <= 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, share)
    kept = _STEPS - max(1, round(_STEPS * share))
    seed = int(torch.randint(1 << 62, (1,)))
    draw = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(x.numel()), np.uint8)
    is_kept = torch.from_numpy(draw < kept).view(x.shape)
    return x * is_kept.to(x.dtype).mul_(_STEPS / kept)


def variational_dropout(x_BTD: Tensor, share: float) -> Tensor:
    """The same, but of a row the same numbers at all its steps (Gal and Ghahramani 2016, arXiv
    1512.05287); for states that are read one after another. Drawn by torch."""
    return x_BTD * F.dropout(torch.ones_like(x_BTD[:, :1]), share) if share > 0.0 else x_BTD
