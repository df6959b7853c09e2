"""Cautious weight decay: shrink only what the update moves towards zero anyway."""

from __future__ import annotations

from torch import Tensor


def cautious_decay(parameters: list[Tensor], updates: list[Tensor], decay: float) -> None:
    """Shrink by the share `decay`, in place, what has the sign of its update, which is about to be
    subtracted (Chen et al. 2025, arXiv 2510.12402, algorithm 1)."""
    for parameter, update in zip(parameters, updates, strict=True):
        agrees = (parameter * update) >= 0
        parameter.addcmul_(parameter, agrees, value=-decay)
