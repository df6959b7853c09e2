"""When a stage ends, and how far it is: by steps, or by working seconds."""

from __future__ import annotations

from homespun.core import WorkClock


class Limit:
    """A number of steps, or a budget of working seconds; exactly one is given.

    Args:
        num_steps: steps to make.
        seconds: working seconds the stage may take from its first start to its last byte.
        clock: the run's.
        used: working seconds the stage took before this process.
        progress: the share of the stage that was done when it was saved; it never falls below.
    """

    def __init__(
        self,
        *,
        num_steps: int | None,
        seconds: float | None,
        clock: WorkClock,
        used: float = 0.0,
        progress: float = 0.0,
    ) -> None:
        assert (num_steps is None) != (seconds is None), "one limit, not both"
        self._num_steps = num_steps
        self._seconds = seconds
        self._clock = clock
        self._start = clock.seconds() - used
        self._progress = progress
        self._evaluation = 0.0
        self._checkpoint = 0.0
        self._step_seconds = 0.0

    def used(self) -> float:
        """Working seconds of the stage so far."""
        return self._clock.seconds() - self._start

    def progress(self, step: int) -> float:
        """The share of the stage that is done, in [0, 1], for the schedule of the step after
        `step` completed ones. Counted at the middle of that step, so the first is not 0."""
        if self._num_steps is not None:
            now = (step + 0.5) / self._num_steps
        else:
            now = (self.used() + 0.5 * self._step_seconds) / self._available()
        self._progress = min(1.0, max(self._progress, now))
        return self._progress

    def done(self, step: int) -> bool:
        """Whether to stop after `step` completed steps."""
        if self._num_steps is not None:
            return step >= self._num_steps
        return self.used() + 0.5 * self._step_seconds >= self._available()

    def took(self, step_seconds: float) -> None:
        """Remember how long a step takes, smoothed, so that the last one still fits."""
        if self._step_seconds:
            step_seconds = 0.9 * self._step_seconds + 0.1 * step_seconds
        self._step_seconds = step_seconds

    def reserve(self, *, evaluation: float = 0.0, checkpoint: float = 0.0) -> None:
        """Set time aside for what follows the last step, as long as it took so far."""
        self._evaluation = max(self._evaluation, evaluation)
        self._checkpoint = max(self._checkpoint, checkpoint)

    def _available(self) -> float:
        assert self._seconds is not None
        # However slow closing is, most of the budget goes to training.
        closing = min(self._evaluation + self._checkpoint, 0.25 * self._seconds)
        return self._seconds - closing
