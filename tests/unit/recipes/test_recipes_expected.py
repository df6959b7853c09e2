"""A run's loss against the law: the sweep's own runs pass, a run that goes wrong does not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homespun.core import RunDirectory
from homespun.recipes.expected import expected_curve
from homespun.recipes.plan import PlanPrediction, RunPlan
from homespun.recipes.scale import decoder_shape, multiplied_parameters
from homespun.scaling.choose import Calibration
from homespun.scaling.curve import SHARES, Curve, band_at, with_curve
from homespun.scaling.law import Constants, Law, losses, read_law
from homespun.scaling.runs import ScaleRun
from homespun.training.health.trends import against_curve

SHAPE = decoder_shape(width=64, vocab_size=1024, context=64)
SIZE = multiplied_parameters(SHAPE)
UNIQUE = 10**7


def law() -> Law:
    """Of made constants: the law in the package is fitted again now and then."""
    made = Constants(
        E=2.0, A=60.0, B=300.0, alpha=0.34, beta=0.36, data_reuse=15.39, parameter_reuse=5.31
    )
    return read_law().model_copy(update={"curve": [], "least_tokens": 0.0, "constants": made})


def run_of(number: int, tokens: int, *, unique: int = UNIQUE) -> ScaleRun:
    values: dict[str, Any] = {
        "key": f"run-{number}", "kind": "isoflop", "budget": 1e12, "flops": 1e12, "width": 64,
        "num_layers": 3, "vocab_size": 1024, "context": 64, "parameters": SIZE,
        "non_embedding": SIZE, "matrix_and_head": SIZE, "flops_per_token": 6.0 * SIZE,
        "tokens": tokens, "unique_tokens": unique, "epochs": tokens / unique, "loss": 4.0,
        "bits_per_byte": 2.0, "seconds": 1.0, "seed": 0, "settings": {},
    }  # fmt: skip
    return ScaleRun(**values)


def curve_of(run: ScaleRun, *, plateau: float = 0.1, seed: int = 0, steps: int = 1000) -> Curve:
    """A run that lies above the law at its full rate and comes down to it in the decay."""
    share = np.arange(1, steps + 1) / steps
    tokens = share * run.tokens
    above = 1 + plateau * np.minimum(1, (1 - share) / 0.6)
    noise = np.random.Generator(np.random.PCG64(seed)).normal(1.0, 0.03, steps)
    told = losses(law(), float(SIZE), tokens, float(run.unique_tokens))
    return Curve(tokens, told * above * noise)


@pytest.fixture
def known() -> tuple[Law, list[ScaleRun], dict[str, Curve]]:
    runs = [run_of(0, 10**6), run_of(1, 4 * 10**6)]
    curves = {r.key: curve_of(r, plateau=0.08 + 0.04 * k, seed=k) for k, r in enumerate(runs)}
    return with_curve(law(), runs, curves), runs, curves


def test_a_law_that_does_not_hold_of_short_runs_has_a_band_from_where_it_does(
    known: tuple[Law, list[ScaleRun], dict[str, Curve]], tmp_path: Path
) -> None:
    whole, runs, curves = known
    late = law().model_copy(update={"least_tokens": 5e5})
    part = with_curve(late, runs, curves)
    # Of a million tokens half must be read, and one run alone says nothing.
    assert part.curve == [row for row in whole.curve if row[0] >= 0.5]
    assert band_at(part, 0.4) is None
    assert band_at(part, 0.5) == band_at(whole, 0.5)
    expected = expected_curve(run_in(tmp_path), plan_of(PILOT), law=part)
    before = expected_curve(RunDirectory.open(tmp_path / "r"), plan_of(PILOT), law=whole)
    assert expected is not None
    assert before is not None
    assert expected(600_000, 0.3) == expected(400_000, 0.6) == (0.0, math.inf)
    assert expected(600_000, 0.6) == before(600_000, 0.6)
    assert against_curve(100, 99.0, expected(400_000, 0.6)) is None
    assert with_curve(late.model_copy(update={"least_tokens": 5e6}), runs, curves).curve == []


def plan_of(calibration: Calibration | None, *, tokens: int = 2 * 10**6) -> RunPlan:
    shift = 1.0 if calibration is None else calibration.measured / calibration.foretold
    told = shift * float(losses(law(), float(SIZE), tokens, float(UNIQUE))[0]) / law().nats_per_bit
    return RunPlan(
        asked={}, size="64x3", parameters=SIZE, model=SHAPE.model_dump(), rows=8, seconds=60.0,
        num_steps=None, expected_tokens=tokens, expected_epochs=0.2, speeds=[], reason="",
        compute_dtype="float32", threads=1,
        prediction=PlanPrediction(
            bits_per_byte=told, low=0.99 * told, high=1.01 * told, provisional=True, runs_sha256="",
            calibration=calibration,
        ),
    )  # fmt: skip


def run_in(folder: Path, *, unique: int = UNIQUE) -> RunDirectory:
    run = RunDirectory.create(folder / "r", asked={}, seed=0)
    run.shards.mkdir()
    # as many bytes a token as the law's text has
    bytes_there = round(law().bytes_per_token * 10**6)
    splits = {"train": {"tokens": unique}, "validation": {"bytes": bytes_there, "tokens": 10**6}}
    (run.shards / "index.json").write_text(json.dumps({"splits": splits}))
    return run


PILOT = Calibration(
    parameters=10**4, tokens=10**5, unique_tokens=UNIQUE, measured=2.4, foretold=2.0, seconds=1.0
)


def findings(expected: Any, run: ScaleRun, curve: Curve, *, factor: float = 1.0) -> list[str]:
    """What is said of a stored curve, looked at as a stage is: medians of 64 steps."""
    found = []
    for end in range(100, len(curve.tokens) + 1, 25):
        loss = factor * float(np.median(curve.losses[max(0, end - 64) : end]))
        band = expected(int(curve.tokens[end - 1]), end / len(curve.tokens))
        told = against_curve(end, loss, band)
        found += [told.kind] if told else []
    return found


def test_the_band_holds_the_runs_it_was_made_of(known: Any) -> None:
    made, _, _ = known
    assert [share for share, _, _ in made.curve] == list(SHARES)
    assert all(0.9 < low <= high < 1.2 for _, low, high in made.curve)
    early, late = band_at(made, 0.2), band_at(made, 1.0)
    assert early is not None
    assert late is not None
    assert late[1] < early[1]  # the decay comes down to the law
    assert band_at(law(), 0.5) is None


def test_runs_of_the_sweep_pass_and_a_run_gone_wrong_is_told(known: Any, tmp_path: Path) -> None:
    made, runs, curves = known
    expected = expected_curve(run_in(tmp_path), plan_of(PILOT), law=made)
    assert expected is not None
    shift = 2.4 / 2.0
    for run in runs:
        assert findings(expected, run, curves[run.key], factor=shift) == []
    # another run of the same kind, which the band has not seen
    other = run_of(2, 2 * 10**6)
    assert findings(expected, other, curve_of(other, seed=9), factor=shift) == []
    assert "above_prediction" in findings(expected, other, curve_of(other), factor=1.3 * shift)
    assert "below_prediction" in findings(expected, other, curve_of(other), factor=0.8 * shift)


def test_text_that_is_read_again_may_be_known_by_heart(known: Any, tmp_path: Path) -> None:
    made, _, _ = known
    expected = expected_curve(run_in(tmp_path, unique=10**6), plan_of(PILOT), law=made)
    assert expected is not None
    assert expected(900_000, 0.5)[0] > 0
    assert expected(1_100_000, 0.5)[0] == 0.0


def test_dropout_may_raise_the_loss_of_training_text_by_its_share(
    known: Any, tmp_path: Path
) -> None:
    made, _, _ = known
    run, plan = run_in(tmp_path), plan_of(PILOT)
    dropped = plan.model_copy(update={"model": {**plan.model, "dropout": 0.2}})
    plain, wide = (expected_curve(run, one, law=made) for one in (plan, dropped))
    assert plain is not None
    assert wide is not None
    (low, high), (as_low, higher) = plain(10**6, 0.5), wide(10**6, 0.5)
    assert (as_low, higher) == pytest.approx((low, 1.2 * high))


def test_without_a_pilot_the_band_is_wide_and_without_curves_there_is_none(
    known: Any, tmp_path: Path
) -> None:
    made, _, _ = known
    run = run_in(tmp_path)
    sure = expected_curve(run, plan_of(PILOT), law=made)
    unsure = expected_curve(run, plan_of(None), law=made)
    assert sure is not None
    assert unsure is not None
    width = [math.log(high / low) for low, high in (sure(10**6, 0.5), unsure(10**6, 0.5))]
    assert width[1] > width[0] + 0.2
    assert expected_curve(run, plan_of(PILOT), law=law()) is None
    bare = plan_of(PILOT).model_copy(update={"prediction": None})
    assert expected_curve(run, bare, law=made) is None


def test_runs_that_read_twice_or_hardly_at_all_say_nothing_of_the_band() -> None:
    twice, short = run_of(0, 10**6, unique=10**5), run_of(1, 10**6)
    curves = {twice.key: curve_of(twice), short.key: curve_of(short, steps=50)}
    assert with_curve(law(), [twice, short], curves).curve == []
