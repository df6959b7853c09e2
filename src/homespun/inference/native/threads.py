"""Whether several threads are still faster than one, asked again and again while an engine works.

Threads of the compiled step wait for each other by spinning. Where something else wants the cores
too, such as a server that refuses many requests, one that has lost its core holds up all others,
and a single thread writes more. No number depends on how many there are.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from homespun.inference.native.layout import Model
from homespun.inference.runners.work import Work

TRIAL = 6
"""Calls of a trial, and of what it is compared with."""
SOONEST, LATEST = 64, 256
"""Calls between two trials: they become rarer while nothing changes."""
WORTH = 0.9
"""A change must leave that much of the time at most."""
KNOWN = 3
"""Calls of a kind that must have been seen before one of that kind is part of a trial."""


class ThreadWatch:
    """Chooses for each call between the number of threads that was fastest alone and one.

    Calls are compared with others of their kind only: a row alone costs more a token than one of
    many, and a short prompt more than a long one.

    Args:
        usual: that was found by trial.

    Attributes:
        now: threads of calls at the moment.
    """

    def __init__(self, usual: int) -> None:
        self._usual = self.now = usual
        self._wait = SOONEST
        self._calls = 0
        self._own = _costs()
        self._ratios: list[float] = []
        self._is_trial = False

    def next(self, kind: Hashable = None) -> int:
        """Threads of the next call, whose time is told by `took`."""
        self._is_trial = (
            self._usual > 1 and self._calls >= self._wait and len(self._own[kind]) >= KNOWN
        )
        return self._other if self._is_trial else self.now

    def took(self, amount: float, seconds: float, kind: Hashable = None) -> None:
        """The call has written so many tokens, or done as much, in that time."""
        cost = seconds / max(1.0, amount)
        if not self._is_trial:
            self._calls += 1
            self._own[kind].append(cost)
            return
        self._ratios.append(cost / max(1e-12, statistics.median(self._own[kind])))
        if len(self._ratios) < TRIAL:
            return
        better = statistics.median(self._ratios) < WORTH
        if better:
            self.now = self._other
        self._wait = SOONEST if better else min(LATEST, 2 * self._wait)
        self._calls = 0
        self._own = _costs()
        self._ratios.clear()

    @property
    def _other(self) -> int:
        return 1 if self.now == self._usual else self._usual


def _costs() -> defaultdict[Hashable, deque[float]]:
    """The last few of each kind."""
    return defaultdict(lambda: deque(maxlen=TRIAL))


class StepWork(NamedTuple):
    """How much a step does, in tokens: one token at the beginning of a text, without scores.

    Attributes:
        score: of a token's scores.
        seen: of a token that another one looks back at.
    """

    score: float
    seen: float

    @classmethod
    def of(cls, model: Model) -> StepWork:
        """By the multiplications of a token."""
        layer = model.layers[0]
        matrices = (layer.qkv, layer.out, layer.up, layer.down)
        token = model.num_layers * sum(matrix.rows * matrix.cols for matrix in matrices)
        attention = 2 * model.num_layers * model.heads * model.head_width
        return cls(model.head.rows * model.head.cols / token, attention / token)

    def __call__(self, works: Sequence[Work]) -> float:
        """Windows that slide are counted as if they did not: a step is compared with others that
        read as many tokens."""
        return sum(
            len(work.ids) * (1 + self.seen * (work.start + len(work.ids) / 2))
            + self.score * work.num_scores
            for work in works
        )
