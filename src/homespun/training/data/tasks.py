"""Batches of several tasks in turn, for one encoder that learns them all."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch

from homespun.core import ConfigError, permutation


class TaskSource(Protocol):
    """What is dealt: `ExampleBatches`, as a rule."""

    @property
    def batches_per_epoch(self) -> int: ...
    def batch(self, index: int) -> Any: ...
    def epochs(self, num_batches: int) -> float: ...
    def describe(self) -> dict[str, Any]: ...


class TaskBatch(NamedTuple):
    """Attributes:
    task: number of the task all rows are of.
    inner: its own batch.
    """

    task: int
    inner: Any

    @property
    def num_tokens(self) -> int:
        return int(self.inner.num_tokens)

    def split(self, num_parts: int) -> list[TaskBatch]:
        """The same rows in `num_parts` batches of nearly equal size."""
        return [TaskBatch(self.task, part) for part in self.inner.split(num_parts)]

    def to(self, device: torch.device) -> TaskBatch:
        return TaskBatch(self.task, self.inner.to(device))


class TaskBatches:
    """Each batch of each task once an epoch, in a seeded order that is another one each epoch: a
    task is met as often as its data are many (Liu et al. 2019, arXiv 1901.11504, algorithm 1).

    Args:
        sources: one a task.
        seed: of the order.

    Raises:
        ConfigError: there is no source.
    """

    def __init__(self, sources: Sequence[TaskSource], *, seed: int) -> None:
        if not sources:
            raise ConfigError("there is no task to learn", remedy="name one at least")
        self._sources, self._seed = list(sources), seed
        sizes = (source.batches_per_epoch for source in sources)
        self._ends = list(itertools.accumulate(sizes))
        self._order: tuple[int, Any] = (-1, None)

    @property
    def batches_per_epoch(self) -> int:
        return self._ends[-1]

    def epochs(self, num_batches: int) -> float:
        return num_batches / self.batches_per_epoch

    def deal(self, index: int) -> tuple[int, int]:
        """The task of batch `index`, and which of that task's batches it is."""
        epoch, place = divmod(index, self.batches_per_epoch)
        if self._order[0] != epoch:
            self._order = epoch, permutation(self._seed, epoch, self.batches_per_epoch)
        number = int(self._order[1][place])
        task = bisect.bisect_right(self._ends, number)
        size = self._sources[task].batches_per_epoch
        return task, epoch * size + number - (self._ends[task] - size)

    def task_of(self, index: int) -> int:
        """The task of batch `index`: the loop compares steps of one task with each other."""
        return self.deal(index)[0]

    def batch(self, index: int) -> TaskBatch:
        """Batch `index`, a function of (seed, index) alone."""
        task, inner = self.deal(index)
        return TaskBatch(task, self._sources[task].batch(inner))

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "tasks",
            "seed": self._seed,
            "sources": {str(n): source.describe() for n, source in enumerate(self._sources)},
        }
