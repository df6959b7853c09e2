"""The processes that train together: who leads, and the few words they exchange.

What is said before and after training (settings, results, failures) goes through torchrun's
key-value store as JSON: it works the same for every backend, and waiting costs no processor time
and may take hours. What is said at every step goes through the process group as tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from homespun.core.processes import Place

T = TypeVar("T")
_VERY_LONG = timedelta(days=30)


class Store(Protocol):
    """What is used of torch.distributed's stores."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def wait(self, keys: list[str], timeout: timedelta) -> None: ...


class OtherProcessFailed(SystemExit):
    """Another process has told what went wrong; this one leaves without a word."""


class World:
    """This process among the others. Alone, every method returns at once and nothing is imported.

    Args:
        place: of this process.
        device: that it computes on.
        store: shared by all; None for a process alone.

    Attributes:
        place, device: as given.
    """

    def __init__(
        self,
        place: Place | None = None,
        *,
        device: torch.device | None = None,
        store: Store | None = None,
    ) -> None:
        self.place = place or Place()
        self.device = device or torch.device("cpu")
        assert store is not None or self.size == 1, "several processes meet in a store"
        self._store = store
        self._num_said = 0

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def size(self) -> int:
        return self.place.size

    @property
    def is_leader(self) -> bool:
        return self.place.is_leader

    def lead(self, work: Callable[[], T]) -> T:
        """Do `work` on the leader alone; all get its result, which must be JSON.

        Raises:
            OtherProcessFailed: on the others, where `work` failed on the leader.
        """
        if self._store is None:
            return work()
        key = f"said-{self._num_said}"
        self._num_said += 1
        if not self.is_leader:
            heard: T = self._hear(key)
            return heard
        try:
            result = work()
            self._store.set(key, json.dumps({"value": result}))
        except BaseException:
            self._store.set(key, json.dumps({"failed": True}))
            raise
        return result

    def give_up(self) -> None:
        """Tell those who wait for the leader's next word that there will be none."""
        if self._store is not None:
            self._store.set(f"said-{self._num_said}", json.dumps({"failed": True}))

    def _hear(self, key: str) -> Any:
        assert self._store is not None
        self._store.wait([key], _VERY_LONG)
        said = json.loads(self._store.get(key))
        if "failed" in said:
            raise OtherProcessFailed(1)
        return said["value"]

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over all processes, to the last bit the same on all."""
        return self._reduce(values, "SUM")

    def highest(self, values: Sequence[float]) -> list[float]:
        """The largest of each number over all processes; -inf where one has nothing to say."""
        return self._reduce(values, "MAX")

    def from_leader(self, values: Sequence[float]) -> list[float]:
        """The leader's numbers."""
        return self.highest(values if self.is_leader else [-math.inf] * len(values))

    def agreed(self, answer: bool) -> bool:
        """The leader's yes or no."""
        return bool(self.from_leader([answer])[0])

    def _reduce(self, values: Sequence[float], operation: str) -> list[float]:
        if self.size == 1:
            return list(values)
        import torch.distributed as dist

        tensor = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=getattr(dist.ReduceOp, operation))
        return [float(value) for value in tensor.tolist()]

    def broadcast(self, tensor: Tensor, source: int = 0) -> Tensor:
        """Overwrite `tensor` with that of process `source`; returns it."""
        if self.size > 1:
            import torch.distributed as dist

            dist.broadcast(tensor, src=source)
        return tensor

    def is_first_to_fail(self) -> bool:
        """Whether nobody else has failed before: then this process is the one to say why."""
        return self._store is None or self._store.add("failed", 1) == 1
