"""Grids, rules and choices: what is swept, with which settings, and what a plan takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_samples import made_runs

from homespun.core import ConfigError
from homespun.scaling.choose import (
    OWN_TEXT,
    READ_ON,
    UNKNOWN_TEXT,
    Calibration,
    Measured,
    choose_shape,
    foretell,
    is_of_texts_as,
    outcome,
    speed_at,
)
from homespun.scaling.grid import (
    BUDGETS,
    Size,
    anchor_cells,
    isoflop_cells,
    parse_shapes,
    repeat_cells,
    repeated_part,
)
from homespun.scaling.law import Law, Prediction, make_law, predict, read_law
from homespun.scaling.plan import MAX_EPOCHS
from homespun.scaling.rules import layers_for, settings_for

SIZES = [
    Size(width, 3, int(12 * 3 * width**2 + 1024 * width), 6.5 * (36 * width**2 + 1024 * width))
    for width in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
]
ENDLESS = 10**13


@pytest.fixture(scope="module")
def law() -> Law:
    return make_law(made_runs(), corpus="m", preset="p", bytes_per_token=2.75, num_draws=100)


def test_each_budget_has_five_sizes_and_is_spent() -> None:
    cells = isoflop_cells(BUDGETS, SIZES)
    assert len({cell.key for cell in cells}) == len(cells) == 20
    for budget in BUDGETS:
        mine = [cell for cell in cells if cell.budget == budget]
        assert len({cell.size for cell in mine}) == 5
        assert all(cell.flops == pytest.approx(budget, rel=1e-4) for cell in mine)
    costs = [cell.budget for cell in cells]
    assert costs == sorted(costs)


def test_repeated_runs_differ_in_their_text_alone() -> None:
    cells = repeat_cells(SIZES[2], 160_000)
    assert [cell.unique_tokens for cell in cells] == [160_000, 80_000, 40_000, 20_000, 10_000]
    assert {(cell.size, cell.tokens) for cell in cells} == {(SIZES[2], 160_000)}
    assert len({cell.key for cell in repeated_part(BUDGETS, SIZES)}) == 10


@pytest.mark.parametrize(
    ("budgets", "middle"),
    [((1e12,), 1e12), ((1e12, 1e13), 1e12), ((1e12, 1e13, 3e12), 3e12), (BUDGETS, BUDGETS[1])],
)
def test_repeated_runs_are_of_the_middle_budget(budgets: tuple[float, ...], middle: float) -> None:
    for cell in repeated_part(budgets, SIZES):
        assert cell.flops == pytest.approx(middle, rel=1e-4)


def test_further_seeds_repeat_the_middle_of_the_first_and_last_budget() -> None:
    cells = isoflop_cells(BUDGETS, SIZES)
    again = anchor_cells(cells, [1, 2])
    assert [(c.budget, c.seed) for c in again] == [(1e12, 1), (1e12, 2), (3e13, 1), (3e13, 2)]
    assert all(c._replace(seed=0) in cells for c in again)


def test_shapes_are_read_from_text() -> None:
    assert parse_shapes("32x2, 64x3") == [(32, 2), (64, 3)]
    for wrong in ("32", "x3", "32x0", "axb", "²x3", ""):
        with pytest.raises(ConfigError, match="WIDTHxLAYERS"):
            parse_shapes(wrong)


@given(n=st.floats(1e4, 1e9), d=st.floats(2e4, 1e11))
def test_settings_follow_size_and_length(n: float, d: float) -> None:
    now, longer, larger = (
        settings_for(*at, context=256) for at in ((n, d), (n, 4 * d), (4 * n, d))
    )
    assert now.rows <= longer.rows
    assert now.rows * now.num_steps * 256 == pytest.approx(d, rel=0.51 / now.num_steps + 1e-9)
    assert larger.learning_rate <= now.learning_rate <= longer.learning_rate
    assert 0 < now.warmup <= 0.02
    assert now.warmup * d <= n * 1.01


def test_depth_grows_with_width() -> None:
    told = {width: layers_for(width) for width in (32, 48, 64, 96, 128, 160, 192, 1024)}
    assert told == {32: 2, 48: 3, 64: 3, 96: 4, 128: 5, 160: 6, 192: 6, 1024: 17}


def test_speed_between_shapes_lies_between_their_speeds() -> None:
    measured = [Measured(1e6, 20_000.0), Measured(1e7, 4_000.0)]
    assert speed_at(measured, 1e6) == pytest.approx(20_000.0)
    assert 4_000 < speed_at(measured, 3e6) < 20_000
    # operations a second: 2e10 and 4e10, half-way on the scale their geometric mean
    assert speed_at(measured, math.sqrt(1e13)) * math.sqrt(1e13) == pytest.approx(
        math.sqrt(8) * 1e10
    )
    assert speed_at(measured, 1e8) == pytest.approx(400.0)


def test_more_time_takes_a_larger_size_and_promises_less_loss(law: Law) -> None:
    took = [
        choose_shape(
            law,
            SIZES,
            lambda size, seconds=seconds: 3e10 * seconds / size.flops_per_token,
            unique_tokens=ENDLESS,
            bytes_per_token=2.75,
        )[0]
        for seconds in (10.0, 100.0, 1000.0)
    ]
    assert [item.size.width for item in took] == sorted({item.size.width for item in took})
    assert [item.loss for item in took] == sorted((item.loss for item in took), reverse=True)


def test_a_short_text_takes_a_smaller_size_and_is_read_so_often_at_most(law: Law) -> None:
    def best(unique: int) -> tuple[int, float]:
        found = choose_shape(
            law,
            SIZES,
            lambda size: 3e13 / size.flops_per_token,
            unique_tokens=unique,
            bytes_per_token=2.75,
        )[0]
        return found.size.parameters, found.epochs

    assert best(200_000)[0] < best(ENDLESS)[0]
    assert best(1_000)[1] == pytest.approx(MAX_EPOCHS)


def test_what_is_read_on_with_dropout_is_foretold_as_what_the_law_tells_of_or_better() -> None:
    law = read_law(preset="fast", repeats=True)
    assert law.table is not None
    longest = law.table.points[-1][0]
    assert is_of_texts_as(law, longest)
    assert not is_of_texts_as(law, longest / 3)
    points = [(tokens * 10, loss) for tokens, loss in law.table.points]  # of a far longer text
    law = law.model_copy(update={"table": law.table.model_copy(update={"points": points})})
    facts = {"unique_tokens": 3 * 10**6, "bytes_per_token": law.bytes_per_token}
    size = SIZES[0]._replace(parameters=1_200_000)
    short, long = (outcome(law, size, tokens=tokens, **facts) for tokens in (1.4e7, 6e7))
    assert short.told == short.tokens
    assert long.told < long.tokens
    assert long.epochs > 2 * short.epochs
    at_limit = outcome(law, size, tokens=long.told, **facts)
    assert long.loss == pytest.approx(at_limit.loss)
    told, limit = (
        foretell(law, item, calibration=None, is_own_text=True, **facts)
        for item in (long, at_limit)
    )
    assert told.loss == pytest.approx(limit.loss)
    assert told.high == pytest.approx(limit.high)
    assert told.low == pytest.approx(limit.low * (1 - READ_ON))


def test_a_text_as_long_as_the_laws_is_foretold_for_all_its_readings() -> None:
    law = read_law(preset="fast", repeats=True)
    facts = {"unique_tokens": 3 * 10**6, "bytes_per_token": law.bytes_per_token}
    size = SIZES[0]._replace(parameters=3_000_000)
    found = [outcome(law, size, tokens=tokens, **facts) for tokens in (9e6, 2.1e7, 9e7)]
    assert all(item.told == item.tokens for item in found)
    assert found[0].loss > found[1].loss > found[2].loss
    assert found[2].tokens == pytest.approx(2.7e7, rel=0.01)  # and no further


def test_tokens_of_another_vocabulary_count_by_their_bytes(law: Law) -> None:
    fine = outcome(law, SIZES[3], tokens=2e6, unique_tokens=ENDLESS, bytes_per_token=2.75)
    coarse = outcome(law, SIZES[3], tokens=1e6, unique_tokens=ENDLESS, bytes_per_token=5.5)
    assert coarse.loss == pytest.approx(fine.loss)


def test_a_pilot_moves_the_promise_and_a_text_unknown_widens_it(law: Law) -> None:
    chosen = outcome(law, SIZES[4], tokens=1e7, unique_tokens=ENDLESS, bytes_per_token=2.75)

    def told(calibration: Calibration | None, *, own: bool = False) -> tuple[float, float, float]:
        return foretell(
            law,
            chosen,
            unique_tokens=ENDLESS,
            bytes_per_token=2.75,
            calibration=calibration,
            is_own_text=own,
        )

    known, unknown = told(None, own=True), told(None)
    assert known[0] == unknown[0] == pytest.approx(chosen.loss)
    assert unknown[1] / (1 - UNKNOWN_TEXT) == pytest.approx(known[1] / (1 - OWN_TEXT))

    def flown(tokens: int) -> Calibration:
        size = SIZES[0]._replace(parameters=10**5)
        small = outcome(law, size, tokens=tokens, unique_tokens=10**7, bytes_per_token=2.75)
        return Calibration(
            parameters=10**5,
            tokens=tokens,
            unique_tokens=10**7,
            measured=small.loss * 1.2,
            foretold=small.loss,
            seconds=1.0,
        )

    pilot = flown(2 * 10**6)
    middle, low, high = told(pilot)
    by_factor, by_sum = chosen.loss * 1.2, chosen.loss + 0.2 * pilot.foretold
    assert middle == pytest.approx((by_factor + by_sum) / 2, rel=2e-3)
    assert low < min(by_factor, by_sum) < max(by_factor, by_sum) < high
    assert high - low < unknown[2] - unknown[1]
    shorter = told(flown(10**4))
    assert shorter[2] - shorter[1] > high - low
    # It is outside of what the law was fitted to: a text that is known is not doubted for it.
    assert chosen.loss < shorter[0] < middle
    own = told(flown(10**4), own=True)
    assert own[0] == pytest.approx(chosen.loss, rel=0.02)
    assert own[2] - own[1] < shorter[2] - shorter[1]


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_text_however_easy_is_foretold_some_loss(law: Law, share: float) -> None:
    """Tables and logs are foretold at a part of the bits of prose: a floor that much lower would
    lie below zero, and with it the mean of both readings."""
    facts: dict[str, Any] = {"unique_tokens": ENDLESS, "bytes_per_token": 2.75}
    chosen = outcome(law, SIZES[4], tokens=1e7, **facts)
    size = SIZES[0]._replace(parameters=10**5)
    small = outcome(law, size, tokens=2 * 10**6, **facts)
    pilot = Calibration(
        parameters=10**5,
        tokens=2 * 10**6,
        unique_tokens=ENDLESS,
        measured=share * small.loss,
        foretold=small.loss,
        seconds=1.0,
    )
    told = foretell(law, chosen, calibration=pilot, is_own_text=False, **facts)
    floor = law.constants.E / law.nats_per_bit
    assert share * small.loss < small.loss - floor
    without = (chosen.loss - floor) / (small.loss - floor) * share * small.loss
    assert told.loss == pytest.approx((share * chosen.loss + without) / 2, rel=0.03)
    assert 0 <= told.low < told.loss < min(told.high, pilot.measured)


def test_a_run_is_foretold_no_more_than_a_smaller_one_has_reached(law: Law) -> None:
    """However little is heard of a pilot that is shorter than the runs of the law."""
    size = SIZES[0]._replace(parameters=10**5)
    facts: dict[str, Any] = {"unique_tokens": ENDLESS, "bytes_per_token": 2.75}
    chosen = outcome(law, SIZES[4], tokens=1e7, **facts)
    small = outcome(law, size, tokens=10**4, **facts)
    assert 0.15 * small.loss < chosen.loss < small.loss

    def told(measured: float, *, alone: float | None = None) -> Prediction:
        pilot = Calibration(
            parameters=10**5,
            tokens=10**4,
            unique_tokens=ENDLESS,
            measured=measured,
            foretold=small.loss,
            seconds=1.0,
            alone=alone,
        )
        return foretell(law, chosen, calibration=pilot, is_own_text=False, **facts)

    found = told(0.15 * small.loss)
    assert found.loss == pytest.approx(0.15 * small.loss)
    assert found.low == pytest.approx(0.15 * chosen.loss)
    assert found.low < found.loss < found.high
    # One that stood beside a table may well be ahead of a larger one without.
    assert told(0.15 * small.loss, alone=3.0).loss > 1.1 * found.loss
    assert told(0.9 * small.loss).loss < 0.9 * small.loss


def test_what_run_and_pilot_have_in_common_is_no_doubt(law: Law) -> None:
    # Draws that differ by a factor alone, which the pilot measures: nothing is left open.
    factors = np.linspace(0.8, 1.25, 40)
    theta = law.constants.vector()
    draws = [[*(theta[:3] + math.log(f)), *theta[3:]] for f in factors]
    unsure = law.model_copy(update={"draws": draws, "noise": 0.0})
    chosen = outcome(unsure, SIZES[4], tokens=1e7, unique_tokens=ENDLESS, bytes_per_token=2.75)
    small = outcome(unsure, SIZES[0], tokens=2e6, unique_tokens=10**7, bytes_per_token=2.75)
    pilot = Calibration(
        parameters=SIZES[0].parameters,
        tokens=2 * 10**6,
        unique_tokens=10**7,
        measured=small.loss,
        foretold=small.loss,
        seconds=1.0,
    )
    told = foretell(
        unsure,
        chosen,
        unique_tokens=ENDLESS,
        bytes_per_token=2.75,
        calibration=pilot,
        is_own_text=False,
    )
    alone = predict(
        unsure, parameters=float(SIZES[4].parameters), tokens=1e7, unique_tokens=ENDLESS
    ).scaled(1 / unsure.nats_per_bit)
    assert told.loss == pytest.approx(chosen.loss)
    assert told.high - told.low < 0.6 * (alone.high - alone.low)


def test_a_pilot_of_the_other_preset_tells_how_hard_the_text_is(law: Law) -> None:
    chosen = outcome(law, SIZES[4], tokens=1e7, unique_tokens=ENDLESS, bytes_per_token=2.75)
    # Its own law foretold 1.0 where this one would have foretold far more.
    pilot = Calibration(
        parameters=SIZES[0].parameters,
        tokens=2 * 10**6,
        unique_tokens=10**7,
        measured=1.1,
        foretold=1.0,
        seconds=1.0,
    )
    told = foretell(
        law,
        chosen,
        unique_tokens=ENDLESS,
        bytes_per_token=2.75,
        calibration=pilot,
        is_own_text=False,
    )
    assert told.loss == pytest.approx((1.1 * chosen.loss + chosen.loss + 0.1) / 2, rel=2e-3)
    assert told.low < told.loss < told.high
