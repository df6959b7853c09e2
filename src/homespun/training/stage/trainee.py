"""What training changes: the model's weights and the optimiser's state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.core import ConfigError
from homespun.models import load_weights as set_weights
from homespun.models import state_to_safetensors
from homespun.training.checkpoint import Checkpoint
from homespun.training.config import TrainConfig
from homespun.training.optim import build_optimizer


class Trainee:
    """A model with its optimiser, as tensors that a checkpoint can hold.

    Whatever else changes with the steps and is too large for `State` belongs here.

    Args:
        model: fp32 parameters on the device to train on.
        config: the stage's.

    Raises:
        ConfigError: the model cannot compute in `config.compute_dtype`.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        dtype = getattr(torch, config.compute_dtype)
        _set_compute_dtype(model, dtype)
        self.optimizer = build_optimizer(model, config.optimizer, matrix_dtype=dtype)

    def weights(self) -> dict[str, Tensor]:
        """What `weights.safetensors` holds."""
        return state_to_safetensors(self.model)

    def optimizer_state(self) -> dict[str, Tensor]:
        """What `optimizer.safetensors` holds."""
        return self.optimizer.state_tensors()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what was saved. Raises CheckpointError: it is of another model."""
        set_weights(self.model, checkpoint.weights, where=str(checkpoint.path))
        self.optimizer.load_state_tensors(checkpoint.optimizer)


def _set_compute_dtype(model: nn.Module, dtype: torch.dtype) -> None:
    set_dtype = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(dtype)
    elif dtype != torch.float32:
        raise ConfigError(
            f"{type(model).__name__} computes in float32 only",
            got=str(dtype).removeprefix("torch."),
            remedy="set compute_dtype to float32",
        )
