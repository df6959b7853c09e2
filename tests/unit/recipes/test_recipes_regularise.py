"""Dropout and weight decay of a plan follow how often the text is read, where that is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from homespun.core import RunDirectory, RunError, Silent
from homespun.core.files import read_json
from homespun.models import DecoderConfig
from homespun.recipes import PlanOptions, measure, open_run, plan_stage, pretrain_stage
from homespun.recipes.learn import pretrain_config
from homespun.recipes.plan import RunPlan, read_plan, regularised_text
from homespun.recipes.scale.shapes import multiplied_parameters
from homespun.recipes.stages import prepare_corpus
from homespun.scaling.plan import LAW_REREAD, rereading, suited_dropout
from homespun.scaling.rules import WEIGHT_DECAY
from homespun.training import regularisation

RAMP = "1:1x32"  # 32 tokens a step, so that readings are cheap to count
ASKED = PlanOptions(ramp=RAMP, regularise=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with shards and no plan; to be copied."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(8):
        lines = [f"The {k}th stone of {number} lies by the river. 第{k}块石头。" for k in range(80)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    runs = tmp_path_factory.mktemp("runs")
    return prepare_corpus(str(folder), runs=runs, progress=Silent())


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def unique_tokens(run: Path) -> int:
    return int(read_json(run / "shards" / "index.json")["splits"]["train"]["tokens"])


def steps_for(run: Path, readings: float) -> int:
    return round(readings * unique_tokens(run) / 32)


def taken_unasked(run: Path, plan: RunPlan) -> float:
    """The dropout of a plan that is not asked to regularise."""
    return suited_dropout(
        multiplied_parameters(DecoderConfig(**plan.model)),
        plan.expected_tokens,
        unique_tokens(run),
        is_beside_table=plan.preset == "fast",
    )


@pytest.mark.parametrize("preset", ["portable", "fast"])
@pytest.mark.parametrize("readings", [0.5, 6.0, 20.0])
def test_a_plan_has_what_suits_its_readings(run: Path, preset: str, readings: float) -> None:
    steps = steps_for(run, readings)
    plan_stage(run, steps=steps, size="16x2", preset=preset, options=ASKED)  # type: ignore[arg-type]
    plan = read_plan(RunDirectory(run))
    unique = unique_tokens(run)
    parameters = multiplied_parameters(DecoderConfig(**plan.model))
    times = rereading(parameters, plan.expected_tokens, unique)
    suits = regularisation(times, weight_decay=WEIGHT_DECAY)
    assert plan.expected_epochs == pytest.approx(readings, rel=0.15)
    assert plan.regularised_for == plan.expected_epochs
    dropout = max(suits.dropout, taken_unasked(run, plan))
    assert plan.model["dropout"] == pytest.approx(dropout, abs=1e-3)
    assert (plan.model["dropout"] > 0) == (times > 2)
    assert (times > 12) == (readings > 2)
    assert plan.weight_decay == pytest.approx(suits.weight_decay, rel=1e-2)
    assert pretrain_config(plan, seed=0).optimizer.weight_decay == plan.weight_decay
    assert f"regularised for {plan.regularised_for:.1f} readings" in regularised_text(plan)
    assert plan.asked["regularise"] is True


def test_without_being_asked_no_portable_model_is_regularised(run: Path) -> None:
    plain = PlanOptions(ramp=RAMP)
    plan_stage(run, steps=steps_for(run, 8.0), size="16x2", preset="portable", options=plain)
    plan = read_plan(RunDirectory(run))
    assert (plan.model["dropout"], plan.weight_decay, plan.regularised_for) == (0.0, None, None)
    assert regularised_text(plan) == ""
    assert pretrain_config(plan, seed=0).optimizer.weight_decay == WEIGHT_DECAY
    assert "regularise" not in plan.asked
    with pytest.raises(RunError, match=r"made without --regularise .got.*leave --regularise out"):
        pretrain_stage(run, options=ASKED)


@pytest.mark.parametrize("readings", [1.0, 40.0])
def test_a_model_beside_a_table_has_dropout_where_it_would_know_the_text_by_heart(
    run: Path, readings: float
) -> None:
    steps = steps_for(run, readings)
    plan_stage(run, steps=steps, size="16x2", preset="fast", options=PlanOptions(ramp=RAMP))
    plan = read_plan(RunDirectory(run))
    parameters = multiplied_parameters(DecoderConfig(**plan.model))
    times = rereading(parameters, plan.expected_tokens, unique_tokens(run))
    assert (times > LAW_REREAD) == (readings > 2)
    suits = taken_unasked(run, plan)
    assert plan.model["dropout"] == suits
    assert (suits > 0) == (readings > 2)
    assert plan.weight_decay is None
    assert ("regularised for" in regularised_text(plan)) == (readings > 2)


@pytest.mark.parametrize(
    ("minutes", "guessed_rate", "begins_with", "ends_with"),
    [
        (0.2, 20_000.0, True, True),
        (0.2, 50.0, False, True),  # what the others were timed without it is done again
        (0.0003, 20_000.0, False, False),
    ],
)
def test_shapes_are_timed_with_dropout_where_they_will_have_some(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    minutes: float,
    guessed_rate: float,
    begins_with: bool,
    ends_with: bool,
) -> None:
    """A guess at the speed beside a table says whether they will; the one that is taken decides."""
    timed: list[bool] = []

    def rate(config: DecoderConfig, load: measure.StepLoad, *, seconds: float) -> float:
        if load.beside is None:
            return guessed_rate
        timed.append(config.dropout > 0)
        return 19_000.0 if config.dropout else 20_000.0

    monkeypatch.setattr(measure, "ramped_rate", rate)
    plan_stage(run, minutes=minutes, preset="fast")
    plan = read_plan(RunDirectory(run))
    (speed,) = (speed for speed in plan.speeds if speed["size"] == plan.size)
    assert speed["drops"] == (plan.model["dropout"] > 0) == timed[-1] == ends_with
    assert speed["tokens_per_second"] == (19_000.0 if ends_with else 20_000.0)
    assert timed[0] == begins_with


def test_portable_models_are_timed_with_dropout_where_they_are_regularised(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(config: DecoderConfig, load: measure.StepLoad, *, seconds: float) -> float:
        return 19_000.0 if config.dropout else 20_000.0

    monkeypatch.setattr(measure, "ramped_rate", rate)
    asked = PlanOptions(regularise=True)
    for minutes, drops in ((0.5, True), (0.0003, False)):
        plan_stage(run, minutes=minutes, preset="portable", options=asked)
        plan = read_plan(RunDirectory(run))
        (speed,) = (speed for speed in plan.speeds if speed["size"] == plan.size)
        assert speed["drops"] == (plan.model["dropout"] > 0) == drops


@pytest.mark.parametrize("found", [None, 0.01])
def test_neither_a_rule_nor_a_search_takes_dropout_away_that_is_counted_on(
    run: Path, tmp_path: Path, found: float | None
) -> None:
    """Beside a table, of a model many times as large as its text: `regularisation` looks at how
    often that is read alone, and two readings and a half are few."""
    settings = None
    if found is not None:
        settings = tmp_path / "best.json"
        settings.write_text(json.dumps({"preset": "fast", "dropout": found}))
    plan_stage(
        run,
        steps=steps_for(run, 2.5),
        size="128x4",
        preset="fast",
        settings_file=settings,
        options=ASKED,
    )
    plan = read_plan(RunDirectory(run))
    suits = taken_unasked(run, plan)
    assert regularisation(plan.expected_epochs).dropout < suits
    assert plan.model["dropout"] == suits
    assert plan.weight_decay is not None
    assert plan.weight_decay > WEIGHT_DECAY


def test_what_a_search_found_goes_before_the_rule(run: Path, tmp_path: Path) -> None:
    settings = tmp_path / "best.json"
    settings.write_text(json.dumps({"weight_decay": 0.07, "dropout": 0.3}))
    plan_stage(run, steps=steps_for(run, 8.0), size="16x2", settings_file=settings, options=ASKED)
    plan = read_plan(RunDirectory(run))
    assert (plan.model["dropout"], plan.weight_decay) == (0.3, 0.07)


def test_a_regularised_model_is_trained_and_exported_as_any_other(
    run: Path, tmp_path: Path
) -> None:
    steps = steps_for(run, 4.0)
    pretrain_stage(run, steps=steps, preset="portable", options=ASKED)
    kept = read_json(run / "pretrain" / "config.json")["train"]["optimizer"]["weight_decay"]
    assert kept == read_plan(RunDirectory(run)).weight_decay > WEIGHT_DECAY
    opened = open_run(run)
    assert opened.model.dropout > 0
    said = [opened.generate("The 3", max_tokens=8, seed=1).text for _ in range(2)]
    assert said[0] == said[1]
    assert (opened.export_hf(tmp_path / "hf") / "config.json").is_file()
