import pytest

from homespun.training.limits import Limit


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def seconds(self) -> float:
        return self.now


def timed(clock: Clock, seconds: float = 100.0, **more: float) -> Limit:
    return Limit(num_steps=None, seconds=seconds, clock=clock, **more)


def test_steps_are_counted_at_their_middle():
    limit = Limit(num_steps=4, seconds=None, clock=Clock())
    assert [limit.progress(step) for step in range(4)] == [0.125, 0.375, 0.625, 0.875]
    assert not limit.done(3)
    assert limit.done(4)


def test_time_counts_from_the_first_start_on():
    clock = Clock(500.0)
    limit = timed(clock, used=30.0)
    clock.now = 520.0
    assert limit.used() == pytest.approx(50.0)
    assert limit.progress(7) == pytest.approx(0.5)
    assert not limit.done(10**6)
    clock.now = 570.0
    assert limit.done(1)


def test_progress_never_goes_back_after_a_resume():
    assert timed(Clock(), used=10.0, progress=0.4).progress(3) == 0.4


def test_time_is_kept_for_the_last_evaluation_and_checkpoint():
    clock = Clock()
    limit = timed(clock)
    limit.reserve(evaluation=6.0)
    limit.reserve(evaluation=2.0, checkpoint=4.0)
    clock.now = 89.0
    assert not limit.done(1)
    clock.now = 90.0
    assert limit.done(1)
    assert limit.progress(1) == 1.0


def test_closing_never_takes_more_than_a_quarter():
    clock = Clock(74.0)
    limit = timed(clock, used=74.0)
    limit.reserve(evaluation=1000.0)
    assert not limit.done(1)


def test_a_step_that_would_not_fit_by_half_is_not_begun():
    clock = Clock()
    limit = timed(clock)
    limit.took(10.0)
    clock.now = 94.0
    assert not limit.done(1)
    clock.now = 95.5
    assert limit.done(1)


def test_with_both_limits_the_first_to_be_reached_counts():
    clock = Clock()
    limit = Limit(num_steps=4, seconds=100.0, clock=clock)
    clock.now = 10.0
    assert limit.progress(1) == 0.375, "by steps it is further"
    assert limit.scale == (100.0, "%"), "25 s of 100 s are not over, and a step of four is done"
    assert limit.position(1) == 25.0
    assert not limit.done(3)
    assert limit.done(4)
    clock.now = 60.0
    assert limit.progress(1) == pytest.approx(0.6), "by time it is further"
    assert limit.position(1) == 60.0
    clock.now = 100.0
    assert limit.done(1)
    assert not limit.is_out_of_steps(1)
