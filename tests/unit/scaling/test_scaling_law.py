"""The law: its formula, its fit, its intervals, and what it refuses to say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling_samples import TRUE, made_runs

from homespun.core import ConfigError, DataError
from homespun.scaling.fit import (
    BASIC,
    REUSE,
    SHARPNESSES,
    bootstrap_weights,
    fit_law,
    huber,
    minimise,
    minimise_obvious,
)
from homespun.scaling.isoflop import frontier
from homespun.scaling.law import (
    Law,
    TableCurve,
    arrays,
    forecast_drift,
    losses,
    make_law,
    optimal_parameters,
    optimum,
    predict,
    read_law,
    seed_noise,
    times_beyond,
    write_law,
)
from homespun.scaling.loss import ENDLESS as NO_END
from homespun.scaling.loss import Points, jacobian, log_loss, log_loss_obvious, worth_in_new
from homespun.scaling.runs import read_runs, runs_sha256

ENDLESS = math.inf


def law_of(noise: float = 0.002, **more: object) -> Law:
    runs = made_runs(noise, **more)  # type: ignore[arg-type]
    return make_law(runs, corpus="made", preset="portable", bytes_per_token=2.75, num_draws=150)


@pytest.fixture(scope="module")
def law() -> Law:
    return law_of()


@given(
    n=st.floats(1e3, 1e12),
    d=st.floats(1e4, 1e14),
    unique=st.one_of(st.just(ENDLESS), st.floats(1e3, 1e13)),
    table=st.one_of(st.just(ENDLESS), st.floats(1.3, 5.0)),
    sharpness=st.sampled_from(SHARPNESSES),
)
def test_the_formula_is_that_of_the_papers(
    n: float, d: float, unique: float, table: float, sharpness: float
) -> None:
    fast = log_loss(TRUE[None], Points.of(n, d, unique, table, sharpness))[0, 0]
    slow = log_loss_obvious(
        TRUE, parameters=n, tokens=d, unique=unique, table=table, sharpness=sharpness
    )
    assert fast == pytest.approx(slow, rel=1e-9)


def test_beside_a_table_a_model_begins_with_its_loss_and_leaves_it_behind() -> None:
    at = Points.of([1e5, 1e5, 1e8], [1.0, 1e6, 1e14], ENDLESS, 3.0, 3.0)
    nothing, some, much = np.exp(log_loss(TRUE[None], at)[0])
    alone = np.exp(log_loss(TRUE[None], Points.of(1e8, 1e14))[0, 0])
    assert nothing == pytest.approx(3.0, rel=1e-3)
    assert 1.2 < some < 3.0
    assert much == pytest.approx(alone, rel=1e-3)


def test_a_law_beside_a_table_comes_back_and_says_how_sudden() -> None:
    runs = made_runs(0.0)
    curve = {"order": 3, "points": [(1e6, 3.2), (1e15, 2.9)]}
    truth = Points.of(
        [run.matrix_and_head for run in runs], [run.tokens for run in runs], ENDLESS, 2.9, 3.0
    )
    told = [
        run.model_copy(update={"loss": float(np.exp(y)), "table_order": 3, "table_loss": 2.9})
        for run, y in zip(runs, log_loss(TRUE[None], truth)[0], strict=True)
    ]
    law = make_law(
        told, corpus="m", preset="fast", bytes_per_token=2.75, tables=[(1e6, 3.2)], num_draws=5
    )
    assert law.sharpness == 3.0
    assert pytest.approx(1.2, rel=0.02) == law.constants.E
    assert law.constants.alpha == pytest.approx(0.34, rel=0.02)
    assert law.table == TableCurve(**curve)  # type: ignore[arg-type]
    assert predict(law, parameters=1e5, tokens=1.0).loss == pytest.approx(2.9, rel=1e-3)
    given = make_law(
        told, corpus="m", preset="fast", bytes_per_token=2.75, given={"E": 1.0}, num_draws=5
    )
    assert (given.constants.E, given.fitted) == (pytest.approx(1.0), ["A", "B", "alpha", "beta"])
    with pytest.raises(DataError, match="tables"):
        make_law([*told, runs[0]], corpus="m", preset="fast", bytes_per_token=2.75)


def test_more_text_makes_a_better_table() -> None:
    curve = TableCurve(order=3, points=[(1e4, 4.0), (1e6, 3.0)])
    between = math.exp((math.log(4.0) + math.log(3.0)) / 2)
    assert curve.loss([1e4, 1e5, 1e6, math.inf]) == pytest.approx([4.0, between, 3.0, 3.0])
    beyond = curve.loss([1e7, 1e9])
    assert beyond[0] == beyond[1] == pytest.approx(between * 3.0 / 4.0)
    assert TableCurve(order=3, points=[(1e4, 4.0)]).loss([1.0, 1e9]) == pytest.approx([4.0, 4.0])


def test_both_presets_come_with_a_law() -> None:
    portable, fast = read_law(), read_law(preset="fast")
    assert (portable.preset, portable.table) == ("portable", None)
    assert fast.preset == "fast"
    assert fast.table is not None
    nothing = predict(fast, parameters=1e5, tokens=100.0, unique_tokens=1e7)
    assert nothing.loss == pytest.approx(float(fast.table.loss(1e7)), rel=0.01)


def test_sixteen_readings_are_worth_what_muennighoff_found() -> None:
    theta = TRUE.copy()
    theta[[0, 1, 3]] = -60.0, -60.0, 2.5  # next to nothing but the data term
    theta[5] = math.log(15.387756)
    once, often = log_loss(theta[None], Points.of(1e5, [1e6, 16e6], 1e6))[0]
    # 1 + R_D (1 - exp(-15 / R_D)) = 10.6 fresh readings
    assert math.exp((once - often) / theta[4]) == pytest.approx(10.58, abs=0.15)


@pytest.mark.parametrize("readings", [0.5, 1.0, 3.0, 16.0, 1000.0])
def test_what_is_read_again_is_worth_so_many_new_tokens(readings: float) -> None:
    size, unique = 1e3, 1e6  # a size that the text suits
    worth = worth_in_new(readings * unique, unique, 12.0)
    again = log_loss(TRUE[None], Points.of(size, readings * unique, unique))[0, 0]
    new = log_loss(TRUE[None], Points.of(size, worth))[0, 0]
    assert again == pytest.approx(new, rel=1e-9)
    assert worth <= readings * unique


def test_the_loss_is_continuous_where_the_first_reading_ends() -> None:
    points = Points.of(5e6, [0.999999e6, 1.000001e6], 1e6)
    before, after = log_loss(TRUE[None], points)[0]
    assert before == pytest.approx(after, abs=1e-5)
    assert before > after


def test_the_slopes_are_those_of_small_differences() -> None:
    points = Points.of([1e5, 1e6], [1e6, 3e6], [1e7, 5e5])
    exact = jacobian(TRUE[None], points, np.arange(7))[0]
    for place in range(7):
        up, down = TRUE.copy(), TRUE.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        rough = (log_loss(up[None], points) - log_loss(down[None], points))[0] / 2e-6
        assert exact[:, place] == pytest.approx(rough, abs=1e-6)


def test_many_fits_at_once_find_what_one_after_another_finds() -> None:
    points, losses, budgets = arrays(made_runs(0.003), "compute")
    weights = bootstrap_weights(budgets, 6, np.random.Generator(np.random.PCG64(1)))
    starts = np.repeat(TRUE[None], len(weights), axis=0)
    _, fast = minimise(starts, points, losses, weights, free=BASIC)
    slow = [minimise_obvious(TRUE, points, losses, row, free=BASIC)[1] for row in weights]
    assert fast == pytest.approx(slow, rel=1e-4)


def test_exponents_of_size_and_text_add_up_in_every_draw() -> None:
    """So their intervals mirror each other: a lowest point that a draw has beyond the sizes tried
    has as many tokens as its operations leave it, not those of the nearest size."""
    generator = np.random.Generator(np.random.PCG64(0))
    budgets, sizes = np.array([1e12, 3e12, 1e13, 3e13]), np.array([0.8, 0.9, 1.0, 1.1, 1.25])
    c = np.repeat(budgets, len(sizes))
    n = np.sqrt(c / 30) * np.tile(sizes, len(budgets))
    loss = 3 + 0.1 * np.log(n / np.sqrt(c / 30)) ** 2 + generator.normal(0, 5e-3, len(n))
    found = frontier(c, n, c / (6 * n), loss, num_draws=200)
    assert found.a_interval is not None
    assert found.b_interval is not None
    assert found.b_interval == pytest.approx([1 - a for a in found.a_interval[::-1]], abs=1e-6)
    assert found.correlation == pytest.approx(-1)


def test_without_noise_the_constants_come_back() -> None:
    points, losses, budgets = arrays(made_runs(0.0, repeats=True, unique=4e6), "compute")
    fit = fit_law(points, losses, budgets, num_draws=20)
    assert fit.free.tolist() == [*BASIC, *REUSE]
    # N and D are whole numbers in a run's record, hence the tolerance
    assert fit.theta[:6] == pytest.approx(TRUE[:6], rel=0.01)


@pytest.mark.parametrize("given", [{"E": 0.0}, {"E": 30.0}, {"alpha": 3.0}, {"B": 1e20}])
def test_a_constant_that_is_not_searched_is_not_taken_over_in_silence(
    given: dict[str, float],
) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=rf"^{name} is searched from .* \(got .*\); give another"):
        fit_law(*arrays(made_runs(), "compute"), given=given, num_draws=2)


def test_a_law_of_which_all_is_given_is_no_fit() -> None:
    given = {"E": 1.2, "A": 60.0, "B": 300.0, "alpha": 0.34, "beta": 0.36}
    with pytest.raises(ConfigError, match=r"none is left to fit .*leave one of them out"):
        fit_law(*arrays(made_runs(), "compute"), given=given, num_draws=2)
    del given["E"]
    fit = fit_law(*arrays(made_runs(0.0), "compute"), given=given, num_draws=2)
    assert math.exp(fit.theta[0]) == pytest.approx(1.2, rel=1e-3)


def test_an_exponent_of_two_that_were_given_has_no_interval() -> None:
    def intervals(given: dict[str, float]) -> dict[str, Any]:
        more: dict[str, Any] = {"corpus": "m", "preset": "p", "bytes_per_token": 3.0}
        return make_law(made_runs(), given=given, num_draws=20, **more).intervals

    name = "a = beta / (alpha + beta)"
    assert name not in intervals({"alpha": 0.34, "beta": 0.36})
    low, high = intervals({"alpha": 0.34})[name]["95"]
    assert low < high


def test_noise_leaves_the_truth_inside_the_intervals(law: Law) -> None:
    truth = {"E": 1.2, "A": 60.0, "B": 300.0, "alpha": 0.34, "beta": 0.36}
    inside = [law.intervals[k]["95"][0] <= v <= law.intervals[k]["95"][1] for k, v in truth.items()]
    assert sum(inside) >= 4  # one of five may lie outside; all are told by the slow test below
    for name in truth:
        low, high = law.intervals[name]["95"]
        less, more = law.intervals[name]["80"]
        assert low <= less < more <= high
    assert law.fitted == ["E", "A", "B", "alpha", "beta"]
    assert 0.0005 < law.noise < 0.006


def test_a_run_ten_times_larger_is_foretold(law: Law) -> None:
    n, d = optimum(law, 3e14)
    foretold = predict(law, parameters=n, tokens=d)
    truth = math.exp(log_loss(TRUE[None], Points.of(n, d))[0, 0])
    assert foretold.low < truth < foretold.high
    assert foretold.loss == pytest.approx(truth, rel=0.01)
    assert predict(law, parameters=n, tokens=d, level=80).low > foretold.low


def test_the_optimum_is_the_lowest_point_of_its_budget(law: Law) -> None:
    n, d = optimum(law, 1e13)
    assert 6 * n * d == pytest.approx(1e13)
    best = predict(law, parameters=n, tokens=d).loss
    for factor in (0.8, 1.25):
        assert predict(law, parameters=n * factor, tokens=d / factor).loss > best
    assert optimal_parameters(law, d) == pytest.approx(n)


def test_parabolas_give_the_exponents_and_their_anticorrelation(law: Law) -> None:
    low, high = law.frontier["a_interval"]
    assert low < 0.36 / 0.70 < high
    assert law.frontier["a"] + law.frontier["b"] == pytest.approx(1.0, abs=0.05)
    assert law.frontier["correlation"] < 0
    assert law.envelope is not None
    assert law.envelope["losses"] == sorted(law.envelope["losses"], reverse=True)


def test_a_minimum_at_the_edge_gives_no_exponent() -> None:
    told = law_of(factors=(2.0, 4.0, 8.0, 16.0)).frontier
    assert told["a"] is None
    assert {line["why_not"] for line in told["parabolas"]} <= {
        "the lowest point lies outside the sizes tried",
        "the best run is the smallest or the largest",
        "the parabola opens downwards",
    }
    assert all(line["parameters"] is None for line in told["parabolas"])


def test_a_minimum_is_not_believed_where_a_second_seed_of_the_smallest_size_is_best() -> None:
    n = np.exp([0.0, 0.0, 1.0, 2.0, 3.0])
    loss = np.array([3.02, 2.95, 2.96, 2.99, 3.08])
    (line,) = frontier(np.full(5, 1e12), n, 1e12 / (6 * n), loss).parabolas
    assert line.why_not == "the best run is the smallest or the largest"
    loss[1] = 2.97
    (line,) = frontier(np.full(5, 1e12), n, 1e12 / (6 * n), loss).parabolas
    assert line.parameters is not None


def test_the_worth_of_repeated_text_is_fitted_where_runs_tell_it() -> None:
    told = law_of(0.0005, repeats=True)
    assert "data_reuse" in told.fitted
    low, high = told.intervals["data_reuse"]["95"]
    assert low < 12.0 < high
    assert law_of().constants.data_reuse == pytest.approx(15.387756)


def test_a_small_text_that_every_run_repeats_is_fitted_jointly() -> None:
    runs = made_runs(0.0005, unique=8e5)
    assert sum(run.epochs > 1 for run in runs) > 16
    facts: dict[str, Any] = {
        "corpus": "m",
        "preset": "p",
        "bytes_per_token": 2.75,
        "num_draws": 100,
    }
    with pytest.raises(DataError, match=r"8 runs or more that read no text twice .*--joint"):
        make_law(runs, **facts)
    law = make_law(runs, joint=True, **facts)
    assert law.joint
    assert {"data_reuse", "parameter_reuse"} <= set(law.fitted)
    assert law.noise < 0.001
    # A larger run of the same law, on as much text, is foretold.
    size, tokens = 1e6, 4e7
    exact = math.exp(float(log_loss(TRUE[None], Points.of([size], [tokens], [8e5]))[0, 0]))
    told = predict(law, parameters=size, tokens=tokens, unique_tokens=8e5)
    assert told.loss == pytest.approx(exact, rel=0.01)


def test_larger_models_that_gain_as_much_as_any_are_told_so_in_a_joint_fit() -> None:
    """Else the worth of such parameters, taken over, bends alpha and beta, and a run that has not
    read its text to the end would depend on how much of it is left."""
    truth = TRUE.copy()
    truth[6] = math.log(NO_END)
    runs = made_runs(0.0, unique=8e5, truth=truth)
    law = make_law(runs, corpus="m", preset="p", bytes_per_token=2.75, num_draws=20, joint=True)
    assert law.constants.parameter_reuse == pytest.approx(NO_END)
    assert "parameter_reuse" not in law.fitted
    assert law.constants.vector()[[3, 4]] == pytest.approx(TRUE[[3, 4]], rel=0.02)
    few, many = (float(losses(law, 3e6, 4e5, unique)[0]) for unique in (8e5, 8e7))
    assert few == pytest.approx(many, rel=1e-6)


def test_drift_knows_nothing_of_what_it_foretells() -> None:
    """The fit to the smaller budgets is the same whatever that to all of them came to."""
    given = arrays(made_runs(0.01), "compute")
    fit = fit_law(*given, num_draws=2)
    elsewhere = fit.theta.copy()
    elsewhere[:5] = [1.5, 25.0, 2.0, 1.5, 0.1]
    told = forecast_drift(fit, *given)
    assert told > 0
    assert forecast_drift(fit._replace(theta=elsewhere), *given) == pytest.approx(told, rel=1e-6)


def test_the_largest_run_is_not_beyond_itself_for_the_operations_of_attention() -> None:
    runs = [run.model_copy(update={"flops": 1.15 * run.flops}) for run in made_runs(0.001)]
    law = make_law(runs, corpus="m", preset="p", bytes_per_token=2.75, num_draws=2)
    largest = max(runs, key=lambda run: run.counted("compute") * run.tokens)
    at = float(largest.counted("compute")), float(largest.tokens)
    assert times_beyond(law, *at) == pytest.approx(1.0)
    assert times_beyond(law, at[0], 10 * at[1]) == pytest.approx(10.0)


def test_too_few_runs_or_one_size_are_refused() -> None:
    few = made_runs()[:5]
    with pytest.raises(DataError, match=r"8 runs or more \(got 5\); .* of its grid$"):
        make_law(few, corpus="made", preset="portable", bytes_per_token=2.75)
    same = [run.model_copy(update={"matrix_and_head": 10**5}) for run in made_runs()]
    with pytest.raises(DataError, match="same size"):
        make_law(same, corpus="made", preset="portable", bytes_per_token=2.75)


def test_a_held_out_run_changes_nothing() -> None:
    runs = made_runs()
    secret = runs[0].model_copy(update={"kind": "hold-out", "key": "secret", "loss": 9.0})
    with_it = make_law([*runs, secret], corpus="m", preset="p", bytes_per_token=2.75, num_draws=100)
    without = make_law(runs, corpus="m", preset="p", bytes_per_token=2.75, num_draws=100)
    assert with_it == without


def test_constants_that_the_runs_do_not_tell_are_named(law: Law) -> None:
    assert law.constants.untold() == []
    assert law.constants.model_copy(update={"beta": 2.5}).untold() == ["beta"]
    edges = law.constants.model_copy(update={"E": math.exp(-6.0), "data_reuse": 300.0})
    assert edges.untold() == ["E", "data_reuse"]


def test_a_law_is_read_as_it_was_written(law: Law, tmp_path: Path) -> None:
    path = tmp_path / "law.json"
    write_law(path, law)
    assert read_law(path) == law
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    with pytest.raises(DataError, match="format 1"):
        read_law(path)


def test_the_hash_of_runs_does_not_depend_on_their_order(tmp_path: Path) -> None:
    runs = made_runs()
    assert runs_sha256(runs) == runs_sha256(runs[::-1])
    assert runs_sha256(runs) != runs_sha256(runs[1:])
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(run.model_dump()) + "\n" for run in runs))
    assert read_runs(path) == runs
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match="twice"):
        read_runs(path)


def test_the_noise_of_seeds_is_pooled_over_cells() -> None:
    run = made_runs()[0]
    same = [
        run.model_copy(update={"seed": k, "loss": math.exp(v)}) for k, v in [(1, 1.0), (2, 1.1)]
    ]
    assert seed_noise(same) == pytest.approx(np.std([1.0, 1.1], ddof=1))
    assert seed_noise([run]) is None


def test_weights_add_up_within_budgets_and_vary_as_resampling_does() -> None:
    groups = np.repeat([1.0, 2.0, 3.0], [5, 4, 1])
    weights = bootstrap_weights(groups, 4000, np.random.Generator(np.random.PCG64(0)))
    for group, size in ((1.0, 5), (2.0, 4), (3.0, 1)):
        assert weights[:, groups == group].sum(axis=1) == pytest.approx(np.full(4000, size))
    assert weights[:, :9].var(axis=0) == pytest.approx(np.ones(9), abs=0.12)
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.07)


def test_the_huber_loss_is_a_parabola_and_then_a_line() -> None:
    small, at, far = huber(np.array([1e-4, 1e-3, 1.0]))
    assert small == pytest.approx(0.5e-8)
    assert at == pytest.approx(0.5e-6)
    assert far == pytest.approx(1e-3 * (1.0 - 0.5e-3))


@pytest.mark.slow
def test_the_intervals_hold_as_often_as_they_say() -> None:
    n, d = 1.5e6, 3e7
    truth = math.exp(log_loss(TRUE[None], Points.of(n, d))[0, 0])
    again = np.random.Generator(np.random.PCG64(5))
    held = {80: 0, 95: 0}
    constants = 0
    trials = 60
    for trial in range(trials):
        told = law_of(0.003, seed=100 + trial)
        seen = truth * math.exp(again.normal(0.0, 0.003))
        for level in held:
            span = predict(told, parameters=n, tokens=d, level=level)
            held[level] += span.low <= seen <= span.high
        low, high = told.intervals["alpha"]["95"]
        constants += low <= TRUE[3] <= high
    assert held[95] >= 0.88 * trials
    assert 0.68 * trials <= held[80] <= 0.95 * trials
    assert constants >= 0.85 * trials


def test_a_law_that_bends_knows_how_far_it_is_off_ahead() -> None:
    def law(bend: float) -> Any:
        runs = [
            run.model_copy(update={"loss": run.loss * math.exp(-bend * (run.budget >= 3e13))})
            for run in made_runs(0.001)
        ]
        return make_law(runs, corpus="m", preset="portable", bytes_per_token=2.75, num_draws=20)

    straight, bent = law(0.0), law(0.02)
    decades = math.log10(3)
    assert straight.drift * decades < 0.01
    assert bent.drift * decades == pytest.approx(0.02, abs=0.008)

    def width(fitted: Any, flops: float) -> float:
        told = predict(fitted, parameters=math.sqrt(flops / 120), tokens=math.sqrt(flops * 10 / 3))
        return math.log(told.high / told.low)

    assert width(bent, 3e14) > 1.5 * width(straight, 3e14)
    # Inside of what was fitted, nothing is added.
    plain = bent.model_copy(update={"drift": 0.0})
    assert width(bent, 1e13) == width(plain, 1e13)
    runs = made_runs(factors=(0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0))
    lone = arrays([run for run in runs if run.budget == 1e13], "compute")
    assert forecast_drift(fit_law(*lone, num_draws=2), *lone) == 0.0
