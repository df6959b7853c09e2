"""What the optimisers share: which parameters are updated alike, and how they decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

SettingsT = TypeVar("SettingsT")


def grouped(names: Iterable[str], settings: Mapping[str, SettingsT]) -> dict[SettingsT, list[str]]:
    """`names` by what `settings` says of each: one call of a fused function serves a group."""
    groups: dict[SettingsT, list[str]] = {}
    for name in names:
        groups.setdefault(settings[name], []).append(name)
    return groups


def decay_share(rate: float, weight_decay: float, lr_scale: float, scale: float | None) -> float:
    """What a step takes off each weight: rate times weight decay, by `scale`, or the learning
    rate's own factor where that is None."""
    return rate * weight_decay * (lr_scale if scale is None else scale)


def apply_decay(
    parameters: list[Tensor], updates: Iterable[Tensor], decay: float, *, cautious: bool
) -> None:
    """Shrink `parameters` by the share `decay`, in place; with `cautious` only the numbers that
    their update moves towards zero anyway."""
    if decay and cautious:
        cautious_decay(parameters, list(updates), decay)
    elif decay:
        torch._foreach_mul_(parameters, 1.0 - decay)


def cautious_decay(parameters: list[Tensor], updates: list[Tensor], decay: float) -> None:
    """Shrink by the share `decay`, in place, what has the sign of its update, which is about to be
    subtracted (Chen et al. 2025, arXiv 2510.12402, algorithm 1)."""
    for parameter, update in zip(parameters, updates, strict=True):
        agrees = (parameter * update) >= 0
        parameter.addcmul_(parameter, agrees, value=-decay)
