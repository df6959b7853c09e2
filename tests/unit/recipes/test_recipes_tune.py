"""A search for settings: resumable, within its budget, and its result is what a plan takes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import optuna
import pytest

from homespun.core import ConfigError, RunDirectory, Silent
from homespun.recipes.plan import read_plan, read_settings
from homespun.recipes.scale import tune as tuning
from homespun.recipes.scale.tune import Aim, describe, open_study, tune
from homespun.recipes.stages import plan_stage, prepare_corpus

WORDS = ["the", "a", "red", "old", "king", "queen", "river", "sees", "finds", "keeps", "stone"]

RULES = {"width": 16, "more_layers": 0, "rate_factor": 1.0, "matrix_rate_factor": 1.0}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(0)
    for number in range(20):
        lines = [" ".join(draw.choices(WORDS, k=9)) + "." for _ in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    runs = tmp_path_factory.mktemp("runs")
    path = prepare_corpus(str(folder), runs=runs, progress=Silent())
    aim = Aim(width=16, flops=3e8, tokens=10_000, context=32, vocab_size=1000)
    (path / "tune").mkdir()
    (path / "tune" / "aim.json").write_text(json.dumps(aim.model_dump()))
    return path


def test_a_search_goes_on_where_it_stopped_and_a_plan_takes_what_it_found(run_dir: Path) -> None:
    first = tune(run_dir, minutes=1.0, trials=3)
    assert len(first["trials"]) == 3
    assert first["trials"][0]["parameters"].items() >= RULES.items()
    # killed in the middle of a trial: it is there, and nobody works on it
    open_study(run_dir / "tune", seed=0).ask()
    then = tune(run_dir, minutes=1.0, trials=7)
    states = [trial["state"] for trial in then["trials"]]
    assert states[3] == "fail"
    assert len(states) == 7
    assert [t["parameters"] for t in then["trials"][:3]] == [
        t["parameters"] for t in first["trials"]
    ]
    drawn = [t["parameters"].get("rate_factor") for t in then["trials"] if t["state"] != "fail"]
    assert len(set(drawn)) == len(drawn)
    done = [t for t in then["trials"] if t["state"] == "complete"]
    stopped = [t for t in then["trials"] if t["state"] == "pruned"]
    assert done
    assert all(t["points"] == 9 for t in done)
    assert all(t["points"] in (1, 3) for t in stopped)
    assert then["best_bits_per_byte"] == min(t["bits_per_byte"] for t in done)
    assert not list(run_dir.glob("tune/trial-*"))

    best = read_settings(run_dir / "tune" / "best.json")
    plan_stage(run_dir, steps=5, settings_file=run_dir / "tune" / "best.json")
    plan = read_plan(RunDirectory.open(run_dir))
    assert (plan.size, plan.learning_rate) == (best.size, best.learning_rate)
    assert (plan.weight_decay, plan.warmup) == (best.weight_decay, best.warmup)


def test_no_trial_begins_after_the_time_is_over(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run_dir / "tune" / "journal.log").read_text().count('"op_code": 4')
    monkeypatch.setattr(tuning, "objective", None)
    found = tune(run_dir, minutes=1e-9)
    assert (run_dir / "tune" / "journal.log").read_text().count('"op_code": 4') == before
    assert found["trials"]


@pytest.mark.parametrize(("value", "is_luck"), [(1.4985, True), (1.45, False)])
def test_a_trial_must_be_ahead_of_the_rules_by_more_than_luck(value: float, is_luck: bool) -> None:
    study = optuna.create_study()
    for number, bits in enumerate((1.5, value)):
        study.add_trial(
            optuna.create_trial(value=bits, user_attrs={"settings": {"size": f"{number}"}})
        )
    found = describe(study, Aim(width=16, flops=1.0, tokens=1, context=32, vocab_size=300))
    assert found["is_luck"] is is_luck
    assert found["best"]["size"] == ("0" if is_luck else "1")
    assert found["gain_over_rules"] == pytest.approx(1 - value / 1.5, abs=1e-5)


def test_settings_with_an_unknown_key_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"learning_rat": 1.0}))
    with pytest.raises(ConfigError, match="learning_rate"):
        read_settings(path)
