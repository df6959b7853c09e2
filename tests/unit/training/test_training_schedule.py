import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.core import ConfigError, parse_config
from homespun.training import ScheduleConfig
from homespun.training.optim.schedule import cosine, stable_then_decay


def test_wsd_rises_stays_and_falls_to_the_floor():
    schedule = ScheduleConfig(kind="wsd", warmup=0.1, decay=0.4, floor=0.1)
    assert schedule.scale(0.0) == 0.0
    assert schedule.scale(0.05) == pytest.approx(0.5)
    assert schedule.scale(0.1) == schedule.scale(0.6) == 1.0
    assert schedule.scale(0.8) == pytest.approx(0.55)
    assert schedule.scale(1.0) == pytest.approx(0.1)


def test_the_root_shape_falls_faster_at_first_and_ends_at_zero():
    assert stable_then_decay(0.75, 0.5, "sqrt") == pytest.approx(1 - 0.5**0.5)
    assert stable_then_decay(0.75, 0.5, "sqrt") < stable_then_decay(0.75, 0.5, "linear")
    assert stable_then_decay(1.0, 0.5, "sqrt") == 0.0


def test_cosine_linear_and_constant_have_their_values_half_way():
    assert cosine(0.0) == 1.0
    assert cosine(0.5) == pytest.approx(0.5)
    assert ScheduleConfig(kind="cosine", warmup=0.0).scale(0.25) == pytest.approx(0.8535533906)
    assert ScheduleConfig(kind="linear", warmup=0.2).scale(0.6) == pytest.approx(0.5)
    assert ScheduleConfig(kind="constant", warmup=0.2).scale(0.6) == 1.0


@given(
    kind=st.sampled_from(["wsd", "cosine", "linear", "constant"]),
    shape=st.sampled_from(["linear", "sqrt"]),
    warmup=st.floats(0, 0.5),
    first=st.floats(0, 1),
    second=st.floats(0, 1),
)
def test_every_schedule_stays_in_0_to_1_and_never_rises_after_warmup(
    kind, shape, warmup, first, second
):
    schedule = ScheduleConfig(kind=kind, warmup=warmup, decay=0.5, decay_shape=shape)
    early, late = sorted((first, second))
    assert 0.0 <= schedule.scale(late) <= 1.0
    if early >= warmup:
        assert schedule.scale(late) <= schedule.scale(early) + 1e-12


def test_warmup_and_decay_that_overlap_are_refused_in_words():
    with pytest.raises(ConfigError, match=r"exceed 1 together \(got warmup 0\.6, decay 0\.5\)"):
        parse_config(ScheduleConfig, {"warmup": 0.6, "decay": 0.5}, where="a test")


@pytest.mark.parametrize("kind", ["wsd", "cosine", "linear", "constant"])
def test_schedules_agree_with_those_of_torch(kind):
    from torch import nn
    from torch.optim import SGD, lr_scheduler

    steps, warm, fall, floor = 200, 20, 80, 0.1
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rise = lr_scheduler.LinearLR(optimizer, 1e-9, 1.0, total_iters=warm)
    stay = lr_scheduler.ConstantLR(optimizer, 1.0, total_iters=1)
    theirs = {
        "wsd": ([rise, stay], [warm]),
        "cosine": ([rise, lr_scheduler.CosineAnnealingLR(optimizer, steps - warm, floor)], [warm]),
        "linear": (
            [rise, lr_scheduler.LinearLR(optimizer, 1.0, floor, total_iters=steps - warm)],
            [warm],
        ),
        "constant": ([rise, stay], [warm]),
    }
    if kind == "wsd":
        last = lr_scheduler.LinearLR(optimizer, 1.0, floor, total_iters=fall)
        theirs["wsd"] = ([rise, stay, last], [warm, steps - fall])
    parts, ends = theirs[kind]
    reference = lr_scheduler.SequentialLR(optimizer, parts, ends)
    schedule = ScheduleConfig(kind=kind, warmup=warm / steps, decay=fall / steps, floor=floor)
    for step in range(steps):
        expected = optimizer.param_groups[0]["lr"]
        assert schedule.scale(step / steps) == pytest.approx(expected, abs=1e-6), step
        optimizer.step()
        reference.step()
