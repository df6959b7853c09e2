"""Whether several threads are still faster than one, asked again and again while an engine works.

Threads of the compiled step wait for each other by spinning. Where something else wants the cores
too, such as a server that refuses many requests, one that has lost its core holds up all others,
and a single thread writes more. No number depends on how many there are.
"""

from __future__ import annotations

import statistics
from collections import deque

TRIAL = 6
"""Calls of a trial, and of what it is compared with."""
SOONEST, LATEST = 64, 256
"""Calls between two trials: they become rarer while nothing changes."""
WORTH = 0.9
"""A change must leave that much of the time at most."""


class ThreadWatch:
    """Chooses for each call between the number of threads that was fastest alone and one.

    Args:
        usual: that was found by trial.

    Attributes:
        now: threads of calls at the moment.
    """

    def __init__(self, usual: int) -> None:
        self._usual = self.now = usual
        self._wait = SOONEST
        self._calls = 0
        self._own: deque[float] = deque(maxlen=TRIAL)
        self._tried: list[float] = []

    def next(self) -> int:
        """Threads of the next call."""
        if self._usual == 1 or self._calls < self._wait:
            return self.now
        return self._other

    def took(self, num_tokens: int, seconds: float) -> None:
        """The call has written so many tokens in that time."""
        cost = seconds / max(1, num_tokens)
        if self._calls < self._wait:
            self._calls += 1
            self._own.append(cost)
            return
        self._tried.append(cost)
        if len(self._tried) < TRIAL:
            return
        better = statistics.median(self._tried) < WORTH * statistics.median(self._own)
        if better:
            self.now = self._other
        self._wait = SOONEST if better else min(LATEST, 2 * self._wait)
        self._calls = 0
        self._own.clear()
        self._tried.clear()

    @property
    def _other(self) -> int:
        return 1 if self.now == self._usual else self._usual
