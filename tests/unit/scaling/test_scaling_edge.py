"""The lower edge of a sweep goes on beyond it."""

from __future__ import annotations

import math

import pytest

from homespun.core import DataError
from homespun.scaling.edge import (
    FLOOR,
    best_size,
    edge_points,
    foretell,
    foretell_obvious,
    has_edge,
)
from homespun.scaling.isoflop import TOO_FEW
from homespun.scaling.law import Law, read_law

BUDGETS = [3e11, 1e12, 3e12, 1e13]


def true_loss(law: Law, flops: float, floor: float = FLOOR) -> float:
    return floor * law.nats_per_bit + 60.0 * flops**-0.12


def with_edge(losses: dict[float, float], *, noise: float = 0.005, wrong: float = 0.0) -> Law:
    """A law whose parabolas are lowest there, at N = C^0.5 / 10; best runs are `wrong` above."""
    lines = [
        {"budget": c, "loss": loss, "parameters": c**0.5 / 10, "why_not": ""}
        for c, loss in losses.items()
    ]
    edge = {"budgets": list(losses), "losses": [loss + wrong for loss in losses.values()]}
    return read_law().model_copy(
        update={"frontier": {"parabolas": lines}, "envelope": edge, "noise": noise}
    )


@pytest.fixture
def law() -> Law:
    plain = read_law()
    return with_edge({c: true_loss(plain, c) for c in BUDGETS}, wrong=0.1)


def test_an_edge_of_the_known_form_is_foretold_exactly(law: Law) -> None:
    for flops in (1e13, 1e14, 1e15):
        told = foretell(law, flops)
        assert told.loss == pytest.approx(true_loss(law, flops), rel=1e-9)
        assert told.loss == pytest.approx(foretell_obvious(law, flops), rel=1e-12)
        assert told.low < told.loss < told.high


def test_the_interval_widens_with_distance_and_with_noise(law: Law) -> None:
    def width(law: Law, flops: float) -> float:
        told = foretell(law, flops)
        return math.log(told.high / told.low)

    near, far = (width(law, flops) for flops in (2e13, 1e15))
    assert near < far
    assert width(law.model_copy(update={"noise": 0.02}), 1e14) > 2 * width(law, 1e14)


def test_a_floor_elsewhere_lies_in_the_interval() -> None:
    plain = read_law()
    for floor in (0.05, 0.85):
        law = with_edge({c: true_loss(plain, c, floor) for c in BUDGETS}, noise=0.002)
        told = foretell(law, 1e14)
        assert told.low < true_loss(plain, 1e14, floor) < told.high
        assert told.loss != pytest.approx(true_loss(plain, 1e14, floor), rel=1e-3)


def test_nineteen_of_twenty_runs_fall_into_the_interval() -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    plain = read_law()
    num_inside, num = 0, 300
    for _ in range(num):
        floor = generator.uniform(0.0, 0.9)
        *seen, came = (
            true_loss(plain, c, floor) * math.exp(generator.normal(0.0, 0.005))
            for c in (*BUDGETS, 1e14)
        )
        told = foretell(with_edge(dict(zip(BUDGETS, seen, strict=True))), 1e14)
        num_inside += told.low <= came <= told.high
    assert 0.9 < num_inside / num < 0.99


def test_a_budget_of_too_few_sizes_has_no_edge_and_the_best_run_stands_for_no_minimum(
    law: Law,
) -> None:
    lines = [dict(line) for line in law.frontier["parabolas"]]
    lines[1].update(loss=None, parameters=None, why_not="the parabola opens downwards")
    lines[2].update(loss=None, parameters=None, why_not=TOO_FEW)
    other = law.model_copy(update={"frontier": {"parabolas": lines}})
    budgets, losses = edge_points(other)
    assert budgets.tolist() == [3e11, 1e12, 1e13]
    plain = [true_loss(law, c) for c in budgets]
    assert losses == pytest.approx([plain[0], plain[1] + 0.1, plain[2]])
    assert has_edge(other)
    assert best_size(other, 1e14) is None  # of two minima only
    lines[0]["why_not"] = TOO_FEW
    fewer = law.model_copy(update={"frontier": {"parabolas": lines}})
    assert not has_edge(fewer)
    with pytest.raises(DataError, match="needs 3 budgets"):
        foretell(fewer, 1e14)


def test_the_best_size_goes_on_as_the_minima_do(law: Law) -> None:
    assert best_size(law, 1e14) == pytest.approx(1e6, rel=1e-9)


def test_laws_of_the_package_go_on_downwards() -> None:
    for preset in ("portable", "fast"):
        for repeats in (False, True):
            law = read_law(preset=preset, repeats=repeats)
            if has_edge(law):
                top = law.valid["flops"][1]
                assert foretell(law, 10 * top).loss < edge_points(law)[1].min()
