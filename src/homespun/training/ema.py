"""Averages of the weights over the steps, which are better than the last weights alone.

Two kinds: an exponential moving average (Polyak and Juditsky 1992; its half-life is what tells
runs of different length alike), and the plain mean of the tail (stochastic weight averaging,
Izmailov et al. 2018, arXiv 1803.05407). Both pay where the learning rate does not end at zero or
the data is seen many times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from homespun.core import Config

AVERAGE_PREFIX = "average."
"""Of the average's tensors among the optimiser's, in a checkpoint."""
COUNT = "#count"
"""The tensor that says how many weights were averaged."""


class EmaConfig(Config):
    """Attributes:
    kind: "ema", or "tail" for the plain mean since `start`.
    start: share of the run that is done when averaging begins; until then weights are used as
        they are.
    half_life: share of the run in which the weight of the past halves.
    half_life_steps: the same as a number of steps; counts instead where given.
    """

    kind: Literal["ema", "tail"] = "ema"
    start: float = Field(default=0.5, ge=0.0, lt=1.0)
    half_life: float = Field(default=0.02, gt=0.0)
    half_life_steps: float | None = Field(default=None, gt=0.0)

    def build(self, parameters: Mapping[str, Tensor]) -> WeightAverage:
        return WeightAverage(
            parameters,
            start=self.start,
            half_life=None if self.kind == "tail" else self.half_life,
            half_life_steps=None if self.kind == "tail" else self.half_life_steps,
        )


class WeightAverage:
    """An average that is updated after each step.

    Args:
        parameters: by name; read at each update. Of sharded ones what is held here.
        start: share of the run after which averaging begins.
        half_life: share of the run in which the weight of the past halves.
        half_life_steps: the same in steps, counts instead where given; with neither, the mean.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        start: float,
        half_life: float | None = None,
        half_life_steps: float | None = None,
    ) -> None:
        self._parameters = dict(parameters)
        self._start = start
        self._half_life, self._half_life_steps = half_life, half_life_steps
        self._average = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        # In float64, so that a stage that is resumed counts on as it would have.
        self._count = torch.zeros((), dtype=torch.float64)
        self._progress = torch.zeros((), dtype=torch.float64)

    @property
    def has_begun(self) -> bool:
        return bool(self._count > 0)

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Take in the weights after a step.

        Args:
            progress: share of the run that is done, 0 to 1, as the schedule saw it.
        """
        passed = max(0.0, progress - float(self._progress))
        self._progress.fill_(progress)
        if progress < self._start:
            return
        self._count += 1
        averages, weights = list(self._average.values()), list(self._parameters.values())
        torch._foreach_lerp_(averages, weights, self._share(passed))

    def _share(self, passed: float) -> float:
        """What the newest weights get."""
        count = float(self._count)
        if count == 1.0:
            return 1.0
        if self._half_life_steps is not None:
            return float(1.0 - 0.5 ** (1.0 / self._half_life_steps))
        if self._half_life is not None:
            return float(1.0 - 0.5 ** (passed / self._half_life))
        return 1.0 / count

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The average instead of the weights, which come back exactly; nothing before it began."""
        if not self.has_begun:
            yield
            return
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.use()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(kept[name])

    @torch.no_grad()
    def use(self) -> None:
        """Put the average in place of the weights for good, once it has begun."""
        if self.has_begun:
            for name, parameter in self._parameters.items():
                parameter.copy_(self._average[name])

    def state_tensors(self) -> dict[str, Tensor]:
        """Averages by the names of the parameters, `COUNT` and "#progress". Not copied: to go on
        from others, write them into these."""
        return {**self._average, COUNT: self._count, "#progress": self._progress}


def average_one(weights: Sequence[float], shares: Sequence[float]) -> float:
    """The mean of numbers with these shares each, written out: slow and plain."""
    total = sum(shares)
    return sum(weight * share / total for weight, share in zip(weights, shares, strict=True))
