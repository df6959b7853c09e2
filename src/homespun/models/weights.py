"""Weights as a flat dictionary of tensors, the form of safetensors files."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from homespun.core import CheckpointError

_REMEDY = "load it with the config it was saved with"


def state_to_safetensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters of `model` by name: detached, contiguous, on the CPU, none twice.

    What is not on the CPU or not contiguous is copied; the rest shares memory with the model.
    """
    return {
        name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()
    }


@torch.no_grad()
def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Copy `tensors` into the parameters of `model`, whose dtype and device stay as they are.

    Args:
        model: of the same shape as the one that was saved.
        tensors: as from `state_to_safetensors`.
        where: the file they are from, for messages.

    Raises:
        CheckpointError: a parameter is missing, too many, or of another shape. Nothing is changed
            then.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name not in tensors:
            raise CheckpointError(f"{where} has no '{name}'", remedy=_REMEDY)
        if tensors[name].shape != parameter.shape:
            raise CheckpointError(
                f"'{name}' in {where} has another shape than the model's {tuple(parameter.shape)}",
                got=tuple(tensors[name].shape),
                remedy=_REMEDY,
            )
    unknown = [name for name in tensors if name not in parameters]
    if unknown:
        raise CheckpointError(
            f"{where} has a '{unknown[0]}' that the model has not", remedy=_REMEDY
        )
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])
