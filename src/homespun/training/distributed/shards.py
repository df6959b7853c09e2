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

from homespun.training.distributed.blocks import repeated_blocks
from homespun.training.distributed.layout import Layout, rows_of
from homespun.training.distributed.owners import OwnedOptimizer
from homespun.training.distributed.replicas import share_rows
from homespun.training.distributed.tensors import Gathered
from homespun.training.distributed.whole import check_fits
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
        return self._gathered({**self._others(), **self.layout.local})

    def _gathered(self, here: Mapping[str, Tensor]) -> Gathered:
        """Of tensors that are named like parameters and dealt like them, or whole on all."""
        layout, shapes = self.layout, self._shapes(here)
        return Gathered(
            shapes,
            {name: tensor.dtype for name, tensor in here.items()},
            lambda name: (
                layout.gather(here[name], shapes[name]) if layout.is_sharded(name) else here[name]
            ),
        )

    def _shapes(self, here: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """Of the whole tensors."""
        return {n: self.layout.shapes.get(n, tuple(t.shape)) for n, t in here.items()}

    def optimizer_state(self) -> Mapping[str, Tensor]:
        assert self._optimizer is not None
        return self._optimizer.gathered_state()

    @torch.no_grad()
    def restore(
        self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: str
    ) -> None:
        assert self._optimizer is not None
        self.settle()
        if self.world.is_leader:
            check_fits(optimizer, self._optimizer.shapes(), where=where)
        self.restore_beside({**self._others(), **self.layout.local}, weights, where=where)
        self._optimizer.restore(optimizer)

    def parameters_here(self) -> dict[str, Tensor]:
        return dict(self.layout.local)

    def with_beside(
        self, tensors: Mapping[str, Tensor], beside: Mapping[str, Tensor], *, prefix: str
    ) -> Mapping[str, Tensor]:
        assert isinstance(tensors, Gathered)
        return tensors.joined(self._gathered(beside), prefix=prefix)

    @torch.no_grad()
    def restore_beside(
        self, beside: Mapping[str, Tensor], saved: Mapping[str, Tensor], *, where: str
    ) -> None:
        layout, shapes = self.layout, self._shapes(beside)
        if self.world.is_leader:
            check_fits(saved, shapes, where=where)
        for name in sorted(beside):
            whole = layout.from_leader(saved.get(name), shapes[name], beside[name].dtype)
            beside[name].copy_(
                whole[rows_of(shapes[name][0], self.world)] if layout.is_sharded(name) else whole
            )

    def _others(self) -> dict[str, Tensor]:
        """Saved tensors that are no parameters."""
        return {n: t for n, t in self.model.named_buffers() if n in self.model.state_dict()}


def _square(tensors: list[Tensor]) -> float:
    """The sum of all squares."""
    if not tensors:
        return 0.0
    return float(torch.stack(torch._foreach_norm(tensors)).double().square().sum())
