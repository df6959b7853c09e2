"""Weights as a flat dictionary of tensors, the form of safetensors files."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from homespun.core import CheckpointError

_REMEDY = "load it with the config it was saved with"


def state_to_safetensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and persistent buffers of `model` by name: detached, contiguous, on the CPU.

    A parameter that is shared is there once, under its first name. What is not on the CPU or not
    contiguous is copied; the rest shares memory with the model.
    """
    return {name: tensor.cpu().contiguous() for name, tensor in _tensors(model).items()}


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of `model` are, and its inputs must be."""
    return next(model.parameters()).device


@torch.no_grad()
def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Copy `tensors` into `model`, whose dtype and device stay as they are.

    Args:
        model: of the same shape as the one that was saved.
        tensors: as from `state_to_safetensors`.
        where: the file they are from, for messages.

    Raises:
        CheckpointError: a tensor is missing, too many, or of another shape. Nothing is changed
            then.
    """
    own = _tensors(model)
    for name, tensor in own.items():
        if name not in tensors:
            raise CheckpointError(f"{where} has no '{name}'", remedy=_REMEDY)
        if tensors[name].shape != tensor.shape:
            raise CheckpointError(
                f"'{name}' in {where} has another shape than the model's {tuple(tensor.shape)}",
                got=tuple(tensors[name].shape),
                remedy=_REMEDY,
            )
    unknown = [name for name in tensors if name not in own]
    if unknown:
        raise CheckpointError(
            f"{where} has a '{unknown[0]}' that the model has not", remedy=_REMEDY
        )
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """What is saved of a model, not copied."""
    kept: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            kept[name] = tensor.detach()
    return kept
