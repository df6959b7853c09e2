"""Where the rows of every parameter are, and who owns the matrices that must be seen whole.

Shape letters: R rows, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from homespun.training.distributed.world import World


class Layout:
    """Args:
    world: the processes.
    shapes: of the whole parameters, by name.
    local: this process's rows of each. Those without a dimension are whole on every process.

    Attributes:
        world, shapes, local: as given.
        gradients: this process's part of the gradients, between backward pass and update.
    """

    def __init__(
        self, world: World, shapes: Mapping[str, tuple[int, ...]], local: Mapping[str, Tensor]
    ) -> None:
        self.world = world
        self.shapes = dict(shapes)
        self.local = dict(local)
        self.gradients: dict[str, Tensor] = {}

    def is_sharded(self, name: str) -> bool:
        return bool(self.shapes.get(name, ()))

    def gather(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The whole tensor, on every process, from what each has of it."""
        import torch.distributed as dist

        most = rows_of(shape[0], self.world, rank=0)
        padded = rows.new_zeros(most.stop, *shape[1:])
        padded[: len(rows)] = rows
        everything = rows.new_empty(self.world.size * most.stop, *shape[1:])
        dist.all_gather(list(everything.chunk(self.world.size)), padded)
        return everything[: shape[0]]

    def from_leader(
        self, tensor: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        """The leader's tensor on every process."""
        device = self.world.device
        if self.world.is_leader:
            assert tensor is not None
            return self.world.broadcast(tensor.to(device, dtype).contiguous())
        return self.world.broadcast(torch.empty(shape, dtype=dtype, device=device))


def rows_of(num_rows: int, world: World, *, rank: int | None = None) -> slice:
    """The rows that process `rank` holds of so many, as FSDP2 deals them: equal chunks, rounded up,
    so that the last processes may have fewer or none."""
    rank = world.rank if rank is None else rank
    chunk = -(-num_rows // world.size)
    return slice(min(num_rows, rank * chunk), min(num_rows, (rank + 1) * chunk))


def choose_owners(matrices: Mapping[str, tuple[int, ...]], num_processes: int) -> dict[str, int]:
    """Which process makes the update of which matrix, so that all have about as much to do.

    The largest first, each to whoever has least: at most 4/3 of the best possible (Graham 1969).
    Products cost R·C·min(R, C).
    """
    work = [0] * num_processes
    owners: dict[str, int] = {}
    for name in _by_cost(matrices):
        rank = min(range(num_processes), key=lambda r: (work[r], r))
        owners[name] = rank
        work[rank] += _cost(matrices[name])
    return owners


def _by_cost(matrices: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    return sorted(matrices, key=lambda name: (-_cost(matrices[name]), name))


def _cost(shape: tuple[int, ...]) -> int:
    rows, columns = shape
    return rows * columns * min(rows, columns)
