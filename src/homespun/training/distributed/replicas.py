"""Data parallel: every process holds the whole model, reads its rows, and gradients are summed.

Why not `torch.nn.parallel.DistributedDataParallel`: it averages over processes, while the loop
divides by the number of targets, which is known only after the last batch and differs between
processes; it counts on every process passing backwards through every batch, while one whose rows
hold no target has nothing to pass through; and it wants the loss computed inside the wrapper's
forward, while the head's product belongs to the loss here. What it does well is kept: gradients
travel in buckets, and a bucket travels while earlier layers are still being computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from homespun.core import ConfigError
from homespun.training.distributed.whole import Whole
from homespun.training.distributed.world import World

BUCKET_BYTES = 25 * 1024 * 1024
"""As DistributedDataParallel's: large enough for the network, small enough to overlap."""


class Replicas(Whole):
    """Args:
    model: the same on every process; changed in place to be the leader's.
    world: the processes.
    bucket_bytes: of gradients that travel at once.
    """

    def __init__(self, model: nn.Module, world: World, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        super().__init__(model, world)
        for tensor in model.state_dict().values():
            world.broadcast(tensor)
        parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        # Gradients are ready from the last layer to the first.
        self._buckets = [_Bucket(part) for part in in_buckets(parameters[::-1], bucket_bytes)]
        self._next = 0
        self._is_last = False
        for bucket in self._buckets:
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    self._is_ready(bucket)
                )

    def share(self, batch: Any) -> Any:
        return share_rows(batch, self.world)

    def backward(self, loss_sum: Tensor, *, is_last: bool) -> None:
        self._is_last = is_last
        try:
            loss_sum.backward()  # type: ignore[no-untyped-call]
        finally:
            self._is_last = False

    def gradients(self) -> list[Tensor]:
        while self._next < len(self._buckets):
            self._send_next()
        for bucket in self._buckets:
            bucket.arrive()
        self._next = 0
        self._drop_unused()
        return super().gradients()

    def restore(
        self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: str
    ) -> None:
        if self.world.is_leader:
            super().restore(weights, optimizer, where=where)
        state = self.optimizer_state()
        for tensor in [*self.model.state_dict().values(), *(state[name] for name in sorted(state))]:
            self.world.broadcast(tensor)

    def restore_beside(
        self, beside: Mapping[str, Tensor], saved: Mapping[str, Tensor], *, where: str
    ) -> None:
        if self.world.is_leader:
            super().restore_beside(beside, saved, where=where)
        for name in sorted(beside):
            # The average's counters lie with the processor whatever the weights lie with.
            beside[name].copy_(self.world.broadcast(beside[name].to(self.world.device)))

    def _is_ready(self, bucket: _Bucket) -> Any:
        def hook(parameter: Tensor) -> None:
            if not self._is_last:
                return
            bucket.num_missing -= 1
            # All processes must send buckets in the same order, whatever is ready first.
            while self._next < len(self._buckets) and not self._buckets[self._next].num_missing:
                self._send_next()

        return hook

    def _send_next(self) -> None:
        self._buckets[self._next].send()
        self._next += 1

    def _drop_unused(self) -> None:
        """A parameter that no process had a gradient for has none, as in a single process."""
        order = [p for bucket in self._buckets for p in bucket.parameters]
        unused = {id(p) for bucket in self._buckets for p in bucket.without_gradient}
        used = self.world.total([float(id(p) not in unused) for p in order])
        for parameter, count in zip(order, used, strict=True):
            if count == 0.0:
                parameter.grad = None


class _Bucket:
    """Some gradients in one flat tensor, on its way or at home."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.num_missing = len(parameters)
        self.without_gradient: list[Tensor] = []
        self._flat: Tensor | None = None
        self._work: Any = None

    def send(self) -> None:
        import torch.distributed as dist

        self.without_gradient = [p for p in self.parameters if p.grad is None]
        flat = [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters
        ]
        self._flat = torch.cat(flat) if len(flat) > 1 else flat[0]
        self._work = dist.all_reduce(self._flat, async_op=True)

    def arrive(self) -> None:
        """Wait, and hand the sums to the parameters."""
        assert self._flat is not None
        self._work.wait()
        sizes = [p.numel() for p in self.parameters]
        for parameter, part in zip(self.parameters, torch.split(self._flat, sizes), strict=True):
            part = part.view_as(parameter)
            if parameter.grad is None:
                parameter.grad = part.clone()
            elif parameter.grad.data_ptr() != part.data_ptr():
                parameter.grad.copy_(part)
        self._flat = self._work = None
        self.num_missing = len(self.parameters)


def in_buckets(parameters: list[Tensor], num_bytes: int) -> list[list[Tensor]]:
    """Neighbours together, at most `num_bytes` in a bucket, a larger one alone."""
    buckets: list[list[Tensor]] = []
    room = 0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        if not buckets or size > room or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            room = num_bytes
        buckets[-1].append(parameter)
        room -= size
    return buckets


def share_rows(batch: Any, world: World) -> Any:
    """This process's rows of a batch that has `rows(start, stop)` and `num_rows`: neighbours, and
    every process about as many.

    Raises:
        ConfigError: fewer rows than processes.
    """
    num_rows: int = batch.num_rows
    check_enough(num_rows, world)
    return batch.rows(
        world.rank * num_rows // world.size, (world.rank + 1) * num_rows // world.size
    )


def check_enough(num_rows: int, world: World) -> None:
    """Raises ConfigError where a batch of so many rows has none for some process."""
    if num_rows < world.size:
        raise ConfigError(
            f"a batch of {num_rows} rows cannot be shared by so many processes",
            got=world.size,
            remedy=f"start torchrun with --nproc-per-node={num_rows} or fewer, or plan under as "
            "many processes as will train: a plan has a row for each",
        )
