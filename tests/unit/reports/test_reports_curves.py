"""Rows become lines that show what the rows say."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.reports.curves import curves_of, running_mean, thin
from homespun.reports.plots import NARROW, draw_curves


def train_row(step: int, loss: float | None) -> dict[str, Any]:
    return {"kind": "train", "step": step, "loss": loss, "lr": 0.001}


def test_the_running_mean_is_a_centred_window_that_narrows_at_the_start() -> None:
    points = [(float(x), float(x * x)) for x in range(6)]
    means = [y for _, y in running_mean(points, 4)]
    expected = [0, (0 + 1 + 4) / 3]
    expected += [(0 + 1 + 4 + 9 + 16) / 5, (1 + 4 + 9 + 16 + 25) / 5, (4 + 9 + 16 + 25) / 4]
    assert means == pytest.approx([*expected, (9 + 16 + 25) / 3])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 20))
def test_the_running_mean_stays_between_the_values(values: list[float], span: int) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    smooth = running_mean(points, span)
    assert [x for x, _ in smooth] == [x for x, _ in points]
    assert all(min(values) - 1e-9 <= y <= max(values) + 1e-9 for _, y in smooth)


def test_a_long_line_is_thinned_and_keeps_its_ends() -> None:
    points = [(float(x), 0.0) for x in range(10_001)]
    few = thin(points, 100)
    assert len(few) == 100
    assert (few[0], few[-1]) == (points[0], points[-1])


def test_losses_become_bits_per_byte() -> None:
    rows = [train_row(1, 4 * math.log(2)), {"kind": "eval", "step": 1, "loss": 9.0}]
    rows.append({"kind": "eval", "step": 2, "loss": 9.0, "bits_per_byte": 1.5})
    curves = curves_of(rows, bytes_per_token=4.0)
    assert curves is not None
    assert curves.train == [(1.0, pytest.approx(1.0))]
    assert curves.validation == [(1.0, pytest.approx(9 / math.log(2) / 4)), (2.0, 1.5)]
    assert curves.unit == "bits per byte"


def test_without_a_ratio_losses_stay_as_they_are() -> None:
    curves = curves_of([train_row(1, 2.5)], bytes_per_token=None)
    assert curves is not None
    assert (curves.unit, curves.train) == ("nats per token", [(1.0, 2.5)])


def test_skipped_steps_and_samples_leave_no_point() -> None:
    rows = [train_row(1, 2.0), train_row(2, None), {"kind": "sample", "step": 2, "text": "a"}]
    curves = curves_of(rows, bytes_per_token=None)
    assert curves is not None
    assert [x for x, _ in curves.train] == [1.0]


@pytest.mark.parametrize("num", [1, 39, 80, 240, 399])
def test_the_running_mean_is_of_as_many_steps_as_it_says(num: int) -> None:
    losses = [float(step * step % 17) for step in range(num)]
    rows = [train_row(step, loss) for step, loss in enumerate(losses)]
    curves = curves_of(rows, bytes_per_token=None)
    assert curves is not None
    middle = num // 2
    around = losses[middle - curves.span // 2 :][: curves.span]
    assert len(around) == curves.span
    assert curves.smooth[middle][1] == pytest.approx(sum(around) / curves.span)
    assert num / 80 < curves.span <= num / 40 + 1


def test_the_lowest_of_many_looks_at_held_out_text_is_told_though_it_is_not_drawn() -> None:
    looks = [(float(step), 2.0) for step in range(1000)]
    hidden = next(step for step, point in enumerate(looks) if point not in thin(looks))
    rows = [
        {"kind": "eval", "step": step, "loss": 1.0 if step == hidden else 2.0}
        for step in range(1000)
    ]
    curves = curves_of(rows, bytes_per_token=None)
    assert curves is not None
    assert curves.best == (hidden, 1.0)
    assert curves.best not in curves.validation


def test_no_rows_no_curves() -> None:
    assert curves_of([], bytes_per_token=None) is None


@pytest.mark.parametrize(
    "rows",
    [
        [train_row(1, 3.0)],
        [{"kind": "eval", "step": 5, "loss": 2.0}],
        [train_row(step, 2.0) for step in range(1, 30)],
    ],
)
def test_short_and_flat_curves_can_be_drawn(rows: list[dict[str, Any]]) -> None:
    curves = curves_of(rows, bytes_per_token=None)
    assert curves is not None
    svg = draw_curves(curves, title='a "title" <b>', inches=NARROW, key="k")
    assert svg.startswith("<svg ")
    assert "<b>" not in svg
    assert "nan" not in svg.lower()
