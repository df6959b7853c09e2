"""The arithmetic of a budget: shares add up, and the size follows from speed and text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.core import BudgetError
from homespun.scaling import Speed, choose_size, format_duration, split_budget
from homespun.scaling.plan import MAX_EPOCHS, MIN_TRAINING_SECONDS

SPEEDS = [
    Speed("1m", 10**6, 30_000.0),
    Speed("4m", 4 * 10**6, 10_000.0),
    Speed("8m", 8 * 10**6, 5e3),
]
ENDLESS = 10**15


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


def test_the_size_is_the_one_whose_tokens_suit_it() -> None:
    # 4m reads 20 million in 2,000 s, 5 for each parameter; 1m would read 60, 8m 1.25.
    choice = choose_size(SPEEDS, seconds=2000, unique_tokens=ENDLESS)
    assert (choice.size, choice.tokens, choice.seconds) == ("4m", 20_000_000, 2000)


def test_more_time_never_takes_a_smaller_size() -> None:
    sizes = [
        choose_size(SPEEDS, seconds=2.0**power, unique_tokens=ENDLESS).parameters
        for power in range(3, 20)
    ]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_a_text_is_read_at_most_so_often_and_the_time_is_not_used_up() -> None:
    choice = choose_size(SPEEDS, seconds=10_000, unique_tokens=100_000)
    assert choice.epochs == MAX_EPOCHS
    assert choice.tokens == 1_600_000
    assert choice.size == "1m"
    assert choice.seconds == pytest.approx(1_600_000 / 30_000)
    assert "read 16 times" in choice.reason


def test_durations_are_said_as_people_do() -> None:
    told = [format_duration(seconds) for seconds in (0, 45.4, 60, 390, 3600, 7500)]
    assert told == ["0 s", "45 s", "1 min", "6 min 30 s", "1 h", "2 h 5 min"]
