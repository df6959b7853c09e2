"""A model that one process holds and trains alone; what the other ways are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from homespun.core import CheckpointError
from homespun.models import load_weights, state_to_safetensors
from homespun.training.distributed.world import World
from homespun.training.optim import Optimizer, OptimizerConfig, build_optimizer


class Stepper(Protocol):
    """What a step needs of an optimiser."""

    def set_progress(self, progress: float) -> None: ...
    def step(self, lr_scale: float) -> None: ...


class Spread(Protocol):
    """How a model lies on the processes, and what a step must do about it.

    Attributes:
        world: the processes.
        is_lockstep: whether every process must pass through every batch forwards and backwards,
            targets or not, because others wait for it there.
    """

    world: World
    is_lockstep: bool

    def share(self, batch: Any) -> Any:
        """The rows of `batch` that are this process's."""
        ...

    def backward(self, loss_sum: Tensor, *, is_last: bool) -> None:
        """Add to the gradients; `is_last` says that no batch of this step follows."""
        ...

    def gradients(self) -> list[Tensor]:
        """After the last batch: gradients summed over all processes, or this process's part of
        them; changing them in place changes what the optimiser sees."""
        ...

    def norm(self, gradients: Sequence[Tensor]) -> float:
        """Euclidean length of the whole gradient."""
        ...

    def clear(self) -> None:
        """Forget the gradients."""
        ...

    def optimizer(self, config: OptimizerConfig, dtype: torch.dtype) -> Stepper:
        """Make the optimiser; to be called once."""
        ...

    def settle(self) -> None:
        """After an evaluation: give back what it gathered."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """Whole tensors by name; all processes must read all of them in order."""
        ...

    def optimizer_state(self) -> Mapping[str, Tensor]: ...
    def restore(
        self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: str
    ) -> None:
        """Become what was saved; only the leader's arguments count."""
        ...

    def parameters_here(self) -> dict[str, Tensor]:
        """What this process holds of each parameter, sharing its memory."""
        ...

    def with_beside(
        self, tensors: Mapping[str, Tensor], beside: Mapping[str, Tensor], *, prefix: str
    ) -> Mapping[str, Tensor]:
        """`tensors`, as `optimizer_state` gave them, and beside them others with `prefix` before
        their names: of parameters as they are held here, and whole numbers of the same on all."""
        ...

    def restore_beside(
        self, beside: Mapping[str, Tensor], saved: Mapping[str, Tensor], *, where: str
    ) -> None:
        """Copy what was saved of these into them; only the leader's counts.

        Raises:
            CheckpointError: the leader's does not fit.
        """
        ...


class Whole:
    """No other processes: plain PyTorch."""

    is_lockstep = False

    def __init__(self, model: nn.Module, world: World | None = None) -> None:
        self.model = model
        self.world = world or World()
        self._optimizer: Optimizer | None = None

    def share(self, batch: Any) -> Any:
        return batch

    def backward(self, loss_sum: Tensor, *, is_last: bool) -> None:
        loss_sum.backward()  # type: ignore[no-untyped-call]

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def norm(self, gradients: Sequence[Tensor]) -> float:
        return float(torch.nn.utils.get_total_norm(list(gradients))) if gradients else 0.0

    def clear(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def optimizer(self, config: OptimizerConfig, dtype: torch.dtype) -> Optimizer:
        self._optimizer = build_optimizer(self.model, config, matrix_dtype=dtype)
        return self._optimizer

    def settle(self) -> None:
        pass

    def weights(self) -> Mapping[str, Tensor]:
        return state_to_safetensors(self.model)

    def optimizer_state(self) -> Mapping[str, Tensor]:
        assert self._optimizer is not None
        return self._optimizer.state_tensors()

    def restore(
        self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: str
    ) -> None:
        assert self._optimizer is not None
        load_weights(self.model, weights, where=where)
        self._optimizer.load_state_tensors(optimizer)

    def parameters_here(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    def with_beside(
        self, tensors: Mapping[str, Tensor], beside: Mapping[str, Tensor], *, prefix: str
    ) -> Mapping[str, Tensor]:
        return {**tensors, **{f"{prefix}{name}": tensor for name, tensor in beside.items()}}

    @torch.no_grad()
    def restore_beside(
        self, beside: Mapping[str, Tensor], saved: Mapping[str, Tensor], *, where: str
    ) -> None:
        check_fits(saved, {name: tuple(t.shape) for name, t in beside.items()}, where=where)
        for name, tensor in beside.items():
            tensor.copy_(saved[name])


def check_fits(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], *, where: str
) -> None:
    """Raises CheckpointError where names or shapes differ."""
    for name in sorted({*tensors, *shapes}):
        got = tuple(tensors[name].shape) if name in tensors else None
        if got != shapes.get(name):
            raise CheckpointError(
                f"what is saved in {where} does not fit the model at {name}",
                got=got,
                remedy="resume with the settings the stage was started with",
            )
