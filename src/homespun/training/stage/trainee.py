"""What training changes: the model's weights and the optimiser's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from homespun.core import ConfigError
from homespun.training.checkpoint import Checkpoint
from homespun.training.config import TrainConfig
from homespun.training.distributed import ParallelConfig, World, spread
from homespun.training.ema import AVERAGE_PREFIX
from homespun.training.stage.evaluations import Evaluate


class Trainee:
    """A model with its optimiser, as tensors that a checkpoint can hold.

    Whatever else changes with the steps and is too large for `State` belongs here.

    Args:
        model: fp32 parameters on the device to train on.
        config: the stage's.
        world, parallel: the processes, and how the model is spread over them; None for this one.

    Attributes:
        parts: that rows of a batch are to be cut into at least, whose gradients are added up.

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
        self.parts = 1 if parallel is None else parallel.accumulate
        dtype = getattr(torch, config.compute_dtype)
        _set_compute_dtype(model, dtype)
        self.spread = spread(model, world, parallel, compute_dtype=dtype)
        self.world = self.spread.world
        self.device = self.world.device
        self.optimizer = self.spread.optimizer(config.optimizer, dtype)
        self.average = None
        if config.ema is not None:
            # Of what this process holds: each averages its share of the weights.
            self.average = config.ema.build(self.spread.parameters_here())

    def weights(self) -> Mapping[str, Tensor]:
        """What `weights.safetensors` holds; all processes must read all of it, in order."""
        return self.spread.weights()

    def optimizer_state(self) -> Mapping[str, Tensor]:
        """What `optimizer.safetensors` holds, likewise."""
        if self.average is None:
            return self.spread.optimizer_state()
        return self.spread.with_beside(
            self.spread.optimizer_state(), self.average.state_tensors(), prefix=AVERAGE_PREFIX
        )

    def with_average(self, evaluate: Evaluate | None) -> Evaluate | None:
        """`evaluate`, given the model with its average in place of the weights."""
        if evaluate is None or self.average is None:
            return evaluate
        average, settle = self.average, self.spread.settle

        def on_average(model: nn.Module, step: int) -> Mapping[str, Any]:
            settle()  # what is gathered of the weights is not the average
            with average.in_place():
                return evaluate(model, step)

        return on_average

    def conclude(self) -> None:
        """Leave the model as it is to be used: with the average, where there is one."""
        if self.average is not None:
            self.spread.settle()
            self.average.use()

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
            self._restore({}, {}, {}, where="")
            return
        optimizer = dict(checkpoint.optimizer)
        average = {
            name.removeprefix(AVERAGE_PREFIX): optimizer.pop(name)
            for name in checkpoint.optimizer
            if name.startswith(AVERAGE_PREFIX)
        }
        self._restore(checkpoint.weights, optimizer, average, where=str(checkpoint.path))

    def _restore(
        self,
        weights: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        average: Mapping[str, Tensor],
        *,
        where: str,
    ) -> None:
        self.spread.restore(weights, optimizer, where=where)
        if self.average is not None:
            self.spread.restore_beside(self.average.state_tensors(), average, where=where)


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
