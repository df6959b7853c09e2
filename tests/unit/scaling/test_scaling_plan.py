"""The arithmetic of a budget: shares add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.core import BudgetError
from homespun.scaling import format_duration, split_budget
from homespun.scaling.plan import (
    LAW_REREAD,
    MAX_EPOCHS,
    MIN_TRAINING_SECONDS,
    MOST_REREAD,
    most_readings,
    rereading,
    suited_dropout,
    told_readings,
)


@given(total=st.floats(30, 1e6), share=st.floats(0, 0.3))
def test_the_shares_add_up_to_what_is_left(total: float, share: float) -> None:
    try:
        budget = split_budget(total, share * total)
    except BudgetError:
        assert total < 60
        return
    parts = (budget.pretrain, budget.chat, budget.evaluate, budget.report)
    assert sum(parts) == pytest.approx(total - share * total)
    assert min(parts) > 0
    assert budget.pretrain >= MIN_TRAINING_SECONDS


def test_time_used_before_is_taken_from_pretraining_alone() -> None:
    fresh, late = split_budget(600, 0), split_budget(600, 100)
    assert fresh.pretrain - late.pretrain == pytest.approx(100)
    assert (fresh.chat, fresh.evaluate) == (late.chat, late.evaluate)
    assert (fresh.chat, fresh.evaluate) == pytest.approx((84, 48))


def test_too_little_time_says_how_much_would_do_and_that_it_needs_another_name() -> None:
    with pytest.raises(BudgetError, match=r"--minutes [\d.]+, and for another --name") as caught:
        split_budget(60, 55)
    asked = float(caught.value.remedy.split("--minutes ")[1].split(",")[0])
    assert split_budget(60 * asked, 55).pretrain >= MIN_TRAINING_SECONDS


def test_durations_are_said_as_people_do() -> None:
    told = [format_duration(seconds) for seconds in (0, 45.4, 60, 390, 3600, 7500)]
    assert told == ["0 s", "45 s", "1 min", "6 min 30 s", "1 h", "2 h 5 min"]


def test_beside_a_table_a_text_is_read_on_with_dropout_and_not_until_it_is_known_by_heart() -> None:
    size, unique = 1.2e6, 3e6
    most = most_readings(size, unique, is_beside_table=True)
    told = told_readings(size, unique, is_beside_table=True, is_as_long=False)
    assert (
        rereading(size, most * unique, unique) == pytest.approx(MOST_REREAD) or most == MAX_EPOCHS
    )
    assert rereading(size, told * unique, unique) == pytest.approx(LAW_REREAD)
    assert 1 < told < most <= MAX_EPOCHS

    def dropout(readings: float, *, beside: bool = True) -> float:
        return suited_dropout(size, readings * unique, unique, is_beside_table=beside)

    assert dropout(0.5) == dropout(told) == 0.0
    assert 0 < dropout(0.5 * (told + most)) < dropout(1 + 8 * unique / size) == 0.2
    assert dropout(most, beside=False) == 0.0
    assert most_readings(size, unique, is_beside_table=False) == MAX_EPOCHS
    assert told_readings(size, unique, is_beside_table=False, is_as_long=False) == MAX_EPOCHS
