"""What training changes: the model's weights and the optimiser's state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from homespun.core import ConfigError
from homespun.training.checkpoint import Checkpoint
from homespun.training.config import TrainConfig
from homespun.training.distributed import ParallelConfig, World, spread


class Trainee:
    """A model with its optimiser, as tensors that a checkpoint can hold.

    Whatever else changes with the steps and is too large for `State` belongs here.

    Args:
        model: fp32 parameters on the device to train on.
        config: the stage's.
        world, parallel: the processes, and how the model is spread over them; None for this one.

    Raises:
        ConfigError: the model cannot compute in `config.compute_dtype`.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        world: World | None = None,
        parallel: ParallelConfig | None = None,
    ) -> None:
        self.model = model
        dtype = getattr(torch, config.compute_dtype)
        _set_compute_dtype(model, dtype)
        self.spread = spread(model, world, parallel, compute_dtype=dtype)
        self.world = self.spread.world
        self.device = self.world.device
        self.optimizer = self.spread.optimizer(config.optimizer, dtype)

    def weights(self) -> Mapping[str, Tensor]:
        """What `weights.safetensors` holds; all processes must read all of it, in order."""
        return self.spread.weights()

    def optimizer_state(self) -> Mapping[str, Tensor]:
        """What `optimizer.safetensors` holds, likewise."""
        return self.spread.optimizer_state()

    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite on any process: others are never saved."""
        own = (getattr(p, "_local_tensor", p) for p in self.model.parameters())
        num_bad = sum(not bool(torch.isfinite(tensor).all()) for tensor in own)
        (worst,) = self.world.highest([num_bad])
        return worst == 0

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Become what was saved; several processes at once, of which the leader alone has read it.
        Raises CheckpointError: it is of another model."""
        if checkpoint is None:
            self.spread.restore({}, {}, where="")
            return
        self.spread.restore(checkpoint.weights, checkpoint.optimizer, where=str(checkpoint.path))


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
