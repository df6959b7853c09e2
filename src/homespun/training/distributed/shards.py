"""Fully sharded: every process holds its rows of every tensor (PyTorch's FSDP2, `fully_shard`).

A block's weights are gathered when it is computed and given back after it, and its gradients are
summed and scattered as soon as they are there, so that weights, gradients and optimiser state take
1/size of the memory, and one block at a time is whole. Embedding, head and whatever else is outside
the blocks stay whole from the forward pass to the end of the backward pass, because the loss uses
the head outside of the model's forward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from homespun.core import CheckpointError
from homespun.training.distributed.blocks import repeated_blocks
from homespun.training.distributed.layout import Layout, rows_of
from homespun.training.distributed.owners import OwnedOptimizer
from homespun.training.distributed.replicas import share_rows
from homespun.training.distributed.tensors import Gathered
from homespun.training.distributed.world import World
from homespun.training.optim import OptimizerConfig, parameter_kinds


class Shards:
    """Args:
    model: the same on every process; its parameters become DTensors.
    world: the processes.
    gather_dtype: of block weights as they travel and are computed with; float32 where None. The
        shards stay float32, and gradients are summed in float32.

    Attributes:
        layout: where the rows are.
    """

    is_lockstep = True

    def __init__(
        self, model: nn.Module, world: World, *, gather_dtype: torch.dtype | None = None
    ) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        self.model, self.world = model, world
        for tensor in model.state_dict().values():
            world.broadcast(tensor)
        self._kinds = parameter_kinds(model)
        shapes = {name: p.shape for name, p in model.named_parameters()}
        # FSDP2 takes no parameters without a dimension: those stay whole on every process.
        self._scalars = {n: p for n, p in model.named_parameters() if p.ndim == 0}
        ignored = set(self._scalars.values())
        mesh = init_device_mesh(world.device.type, (world.size,))
        policy = MixedPrecisionPolicy(
            param_dtype=gather_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        blocks = repeated_blocks(model)
        for block in blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy, ignored_params=ignored)
        fully_shard(model, mesh=mesh, ignored_params=ignored)
        self._units: list[Any] = [*blocks, model]
        for unit in self._units:
            # Sums, not means: the loop divides by the number of targets. gloo knows no other way.
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)
        self._parameters: dict[str, Any] = dict(model.named_parameters())
        self.layout = Layout(world, {n: tuple(s) for n, s in shapes.items()}, self._local())
        self._optimizer: OwnedOptimizer | None = None

    def _local(self) -> dict[str, Tensor]:
        """This process's rows of every parameter, sharing memory with the DTensors."""
        return {
            name: p if name in self._scalars else p.to_local()
            for name, p in ((n, p.detach()) for n, p in self._parameters.items())
        }

    def share(self, batch: Any) -> Any:
        return share_rows(batch, self.world)

    def backward(self, loss_sum: Tensor, *, is_last: bool) -> None:
        # Scattered after every batch: whole gradients of the model would not fit.
        loss_sum.backward()  # type: ignore[no-untyped-call]

    def gradients(self) -> list[Tensor]:
        import torch.distributed as dist

        scalars = list(self._scalars.values())
        used = self.world.total([float(p.grad is not None) for p in scalars]) if scalars else []
        for parameter, count in zip(scalars, used, strict=True):
            if count == 0.0:  # none has a gradient for it, so it stays as it is, as in one process
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
        self.layout.gradients = {
            name: p.grad if name in self._scalars else p.grad.to_local()
            for name, p in self._parameters.items()
            if p.grad is not None
        }
        return list(self.layout.gradients.values())

    def norm(self, gradients: Sequence[Tensor]) -> float:
        here = [g for n, g in self.layout.gradients.items() if n not in self._scalars]
        whole = [g for n, g in self.layout.gradients.items() if n in self._scalars]
        (square,) = self.world.total([_square(here)])
        return math.sqrt(square + _square(whole))

    def clear(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.layout.gradients = {}

    def optimizer(self, config: OptimizerConfig, dtype: torch.dtype) -> OwnedOptimizer:
        frozen = {name for name, p in self._parameters.items() if not p.requires_grad}
        self._optimizer = OwnedOptimizer(
            self.layout, self._kinds, config, dtype=dtype, frozen=frozen
        )
        return self._optimizer

    def settle(self) -> None:
        # The root stays gathered after a forward pass that no backward pass follows.
        for unit in self._units:
            unit.reshard()

    def weights(self) -> Mapping[str, Tensor]:
        self.settle()
        layout = self.layout
        local = {**self._others(), **layout.local}
        shapes = {n: layout.shapes.get(n, tuple(t.shape)) for n, t in local.items()}
        return Gathered(
            shapes,
            {name: tensor.dtype for name, tensor in local.items()},
            lambda name: (
                layout.gather(local[name], shapes[name]) if layout.is_sharded(name) else local[name]
            ),
        )

    def optimizer_state(self) -> Mapping[str, Tensor]:
        assert self._optimizer is not None
        return self._optimizer.gathered_state()

    @torch.no_grad()
    def restore(
        self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: str
    ) -> None:
        assert self._optimizer is not None
        self.settle()
        layout = self.layout
        local = {**self._others(), **layout.local}
        shapes = {n: layout.shapes.get(n, tuple(t.shape)) for n, t in local.items()}
        if self.world.is_leader:
            check_fits(weights, shapes, where=where)
            check_fits(optimizer, self._optimizer.shapes(), where=where)
        for name in sorted(local):
            whole = layout.from_leader(weights.get(name), shapes[name], local[name].dtype)
            local[name].copy_(
                whole[rows_of(shapes[name][0], self.world)] if layout.is_sharded(name) else whole
            )
        self._optimizer.restore(optimizer)

    def _others(self) -> dict[str, Tensor]:
        """Saved tensors that are no parameters."""
        return {n: t for n, t in self.model.named_buffers() if n in self.model.state_dict()}


def _square(tensors: list[Tensor]) -> float:
    """The sum of all squares."""
    if not tensors:
        return 0.0
    return float(torch.stack(torch._foreach_norm(tensors)).double().square().sum())


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
