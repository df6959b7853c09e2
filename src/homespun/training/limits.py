"""When a stage ends, and how far it is: by steps, by working seconds, or by what comes first."""

from __future__ import annotations

from homespun.core import WorkClock


class Limit:
    """A number of steps, a budget of working seconds, or both: then what is reached first.

    Args:
        num_steps: steps to make.
        seconds: working seconds the stage may take from its first start to its last byte.
        clock: the stage's.
        used: working seconds the stage took before this process.
        progress: the share of the stage that was done when it was saved; it never falls below.

    Attributes:
        evaluation_seconds: what the longest evaluation took; kept free for the last one.
        checkpoint_seconds: the same of checkpoints.
        choosing_seconds: kept free for choosing between the best weights and the last.
        step_seconds: what a step takes, smoothed.
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
        assert num_steps is not None or seconds is not None, "a stage has an end"
        self._num_steps = num_steps
        self._seconds = seconds
        self._clock = clock
        self._start = clock.seconds() - used
        self._progress = progress
        self.evaluation_seconds = 0.0
        self.checkpoint_seconds = 0.0
        self.choosing_seconds = 0.0
        self.step_seconds = 0.0

    def used(self) -> float:
        """Working seconds of the stage so far."""
        return self._clock.seconds() - self._start

    def progress(self, step: int) -> float:
        """The share of the stage that is done, in [0, 1], for the schedule of the step after
        `step` completed ones. Counted at the middle of that step, so the first is not 0."""
        now = self._progress
        if self._num_steps is not None:
            now = max(now, (step + 0.5) / self._num_steps)
        if self._seconds is not None:
            now = max(now, (self.used() + 0.5 * self.step_seconds) / self._available(self._seconds))
        self._progress = min(1.0, now)
        return self._progress

    def done(self, step: int) -> bool:
        """Whether to stop after `step` completed steps."""
        if self.is_out_of_steps(step):
            return True
        if self._seconds is None:
            return False
        return self.used() + 0.5 * self.step_seconds >= self._available(self._seconds)

    def is_out_of_steps(self, step: int) -> bool:
        """Whether `step` is the last one by number; never where only seconds count."""
        return self._num_steps is not None and step >= self._num_steps

    @property
    def scale(self) -> tuple[float, str]:
        """How long a progress bar is, and in what: seconds or steps; where both count, neither says
        how far it is, and the bar has a hundred parts of a hundred."""
        if self._seconds is None:
            assert self._num_steps is not None
            return self._num_steps, "steps"
        return (self._seconds, "s") if self._num_steps is None else (100.0, "%")

    def position(self, step: int) -> float:
        """How far that bar is."""
        if self._seconds is None:
            return step
        if self._num_steps is None:
            return self.used()
        return 100.0 * max(self.used() / self._seconds, step / self._num_steps)

    def go_back(self, progress: float) -> None:
        """Be where `progress` was; a budget of seconds goes on running all the same."""
        self._progress = progress

    def took(self, step_seconds: float) -> None:
        """Remember how long a step takes, smoothed, so that the last one still fits."""
        if self.step_seconds:
            step_seconds = 0.9 * self.step_seconds + 0.1 * step_seconds
        self.step_seconds = step_seconds

    def reserve(self, *, evaluation: float = 0.0, checkpoint: float = 0.0) -> None:
        """Set time aside for what follows the last step, as long as it took so far."""
        self.evaluation_seconds = max(self.evaluation_seconds, evaluation)
        self.checkpoint_seconds = max(self.checkpoint_seconds, checkpoint)

    def _available(self, seconds: float) -> float:
        # However slow closing is, most of the budget goes to training.
        closing = self.evaluation_seconds + self.checkpoint_seconds + self.choosing_seconds
        return seconds - min(closing, 0.25 * seconds)
