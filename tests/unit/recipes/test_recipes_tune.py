"""A search for settings: resumable, within its budget, and its result is what a plan takes."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
import optuna.importance  # else `optuna.importance` is loaded late, and over what is patched
import pytest
from typer.testing import CliRunner

from homespun.cli.main import build_app
from homespun.core import ConfigError, RunDirectory, RunError, Silent
from homespun.core.files import read_json, write_json
from homespun.models import Decoder
from homespun.recipes.learn.pretrain import pretrain_config
from homespun.recipes.plan import check_settings, read_plan, read_settings
from homespun.recipes.scale import aim as aiming
from homespun.recipes.scale import tune as tuning
from homespun.recipes.scale.aim import Aim
from homespun.recipes.scale.shapes import Preset
from homespun.recipes.scale.tune import describe, draw, open_study, tune
from homespun.recipes.stages import plan_stage, prepare_corpus

WORDS = ["the", "a", "red", "old", "king", "queen", "river", "sees", "finds", "keeps", "stone"]

FOUND = ("rate_factor", "matrix_rate_factor", "weight_decay", "warmup", "dropout")
RULES = {"width": 16, "more_layers": 0, "rate_factor": 1.0, "matrix_rate_factor": 1.0}


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(0)
    for number in range(20):
        lines = [" ".join(draw.choices(WORDS, k=9)) + "." for _ in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    runs = tmp_path_factory.mktemp("runs")
    path = prepare_corpus(str(folder), runs=runs, progress=Silent())
    vocab_size = read_json(path / "shards" / "index.json")["vocab_size"]
    aim = Aim(width=16, flops=3e8, tokens=10_000, context=32, vocab_size=vocab_size)
    (path / "tune").mkdir()
    (path / "tune" / "aim.json").write_text(json.dumps(aim.model_dump()))
    return path


def test_a_search_goes_on_where_it_stopped_and_a_plan_takes_what_it_found(run_dir: Path) -> None:
    first = tune(run_dir, minutes=1.0, trials=3)
    assert len(first["trials"]) == 3
    assert first["trials"][0]["parameters"].items() >= RULES.items()
    # killed in the middle of a trial: it is there, and nobody works on it
    killed = open_study(run_dir / "tune", seed=0).ask()
    checkpoints = run_dir / "tune" / f"trial-{killed.number}" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "weights.safetensors").write_bytes(b"x")
    then = tune(run_dir, minutes=1.0, trials=7)
    states = [trial["state"] for trial in then["trials"]]
    assert states[3] == "fail"
    assert len(states) == 8  # what failed counts for nothing
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
    plan_stage(run_dir, steps=5, preset="portable", settings_file=run_dir / "tune" / "best.json")
    plan = read_plan(RunDirectory.open(run_dir))
    plan_stage(run_dir, steps=5, preset="portable")
    rules = read_plan(RunDirectory.open(run_dir))
    # A trial is short and small: its size and its rates are not those of a run, its factors may be.
    assert best.size is None
    assert plan.size == rules.size
    assert plan.learning_rate is not None
    assert rules.learning_rate is not None
    factor = 1.0 if then["is_luck"] else best.rate_factor
    assert plan.learning_rate == pytest.approx(rules.learning_rate * factor)
    assert plan.weight_decay == best.weight_decay
    assert plan.warmup == (best.warmup or rules.warmup)


def test_a_search_whose_journal_was_cut_off_goes_on(run_dir: Path, tmp_path: Path) -> None:
    """As by a full disk: what is added to half a line would make the whole search unreadable."""
    folder = tmp_path / "study"
    aim = Aim(**read_json(run_dir / "tune" / "aim.json"))
    first = open_study(folder, seed=0).ask()
    with open(folder / "journal.log", "a") as journal:
        journal.write('{"op_code":8,"worker_id":"x","tri')
    again = open_study(folder, seed=0)
    draw(again.ask(), aim)
    trials = open_study(folder, seed=0).get_trials()
    assert [trial.number for trial in trials] == [first.number, first.number + 1]
    assert trials[1].params


def test_a_search_that_was_killed_while_it_wrote_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's lock is a link to the journal as it was named, from another folder as a rule."""

    def hangs(*_: object) -> None:
        raise AssertionError("it waits for a lock that nobody holds")

    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / "study"
    open_study(folder, seed=0)
    lock = folder / "journal.log.lock"
    lock.symlink_to(folder / "journal.log")
    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(20)
    try:
        open_study(folder, seed=0).ask()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not lock.is_symlink()


def test_a_run_without_tokens_is_told_what_it_lacks(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "bare", asked={"source": "x"}, seed=0)
    with pytest.raises(RunError, match=r"no text in tokens .*homespun tokenizer train"):
        tune(run.path, minutes=1.0)


def test_a_training_by_settings_may_be_repeated_and_no_other(run_dir: Path) -> None:
    run = RunDirectory.open(run_dir)
    best, none = run_dir / "tune" / "best.json", run_dir / "none.json"
    none.write_text(json.dumps({"rate_factor": 3.0}))
    plan_stage(run_dir, steps=5, settings_file=best)
    check_settings(run, best)
    check_settings(run, None)
    with pytest.raises(RunError, match="made without these settings"):
        check_settings(run, none)
    plan_stage(run_dir, steps=5)
    with pytest.raises(RunError, match="made without these settings"):
        check_settings(run, best)


def test_the_rules_are_tried_again_where_their_trial_was_killed(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def objective(run: object, trial: optuna.Trial, aim: Aim, *rest: object) -> float:
        draw(trial, aim)
        seen.append(trial.params)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return 1.5

    other = run_dir.parent / "other"
    shutil.copytree(run_dir, other, ignore=shutil.ignore_patterns("journal.log", "*.json.tmp"))
    monkeypatch.setattr(tuning, "objective", objective)
    with pytest.raises(KeyboardInterrupt):
        tune(other, minutes=1.0, trials=2)
    assert json.loads((other / "tune" / "result.json").read_text())["trials"]
    found = tune(other, minutes=1.0, trials=2)
    assert seen[0].items() >= RULES.items()
    assert seen[1].items() >= RULES.items()
    assert found["gain_over_rules"] is not None


@pytest.mark.parametrize("is_rules", [True, False])
@pytest.mark.parametrize(("until", "best"), [(-1.0, None), (1e9, 0.1)], ids=["late", "beaten"])
def test_only_the_trial_of_the_rules_outlasts_the_time_and_better_trials(
    run_dir: Path, tmp_path: Path, until: float, best: float | None, is_rules: bool
) -> None:
    run = RunDirectory.open(shutil.copytree(run_dir, tmp_path / "run"))
    aim = Aim(**read_json(run.path / "tune" / "aim.json"))
    study = open_study(tmp_path / "study", seed=0)
    if best is not None:  # which nothing here comes near
        better = optuna.create_trial(
            value=best,
            intermediate_values={1: best, 3: best, 9: best},
            system_attrs={"completed_rung_0": best, "completed_rung_1": best},
        )
        study.add_trial(better)
    attributes = {"by the rules": True} if is_rules else {}
    study.enqueue_trial(tuning.rules_trial(aim), user_attrs=attributes)
    with run.locked() as clock:
        study.optimize(lambda trial: tuning.objective(run, trial, aim, clock, until), n_trials=1)
    last = study.get_trials()[-1]
    assert last.state.name == ("COMPLETE" if is_rules else "PRUNED")
    assert len(last.intermediate_values) == (9 if is_rules else 1)
    assert "completed_rung_0" in last.system_attrs  # beaten or not, others are compared with it


@pytest.mark.parametrize("is_rules", [True, False])
@pytest.mark.parametrize("bits", [float("nan"), float("inf")])
def test_a_trial_whose_loss_is_no_number_is_given_up_and_the_search_is_not(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: float, is_rules: bool
) -> None:
    monkeypatch.setattr("homespun.evaluation.quick_validation", lambda *_, **__: bits)
    run = RunDirectory.open(shutil.copytree(run_dir, tmp_path / "run"))
    aim = Aim(**read_json(run.path / "tune" / "aim.json"))
    study = open_study(tmp_path / "study", seed=0)
    attributes = {"by the rules": True} if is_rules else {}
    study.enqueue_trial(tuning.rules_trial(aim), user_attrs=attributes)
    with run.locked() as clock:
        study.optimize(lambda trial: tuning.objective(run, trial, aim, clock, 1e9), n_trials=1)
    assert study.get_trials()[-1].state.name == "PRUNED"
    # Of a search that an earlier version made, which kept such numbers.
    pruned = optuna.trial.TrialState.PRUNED
    study.add_trial(optuna.create_trial(state=pruned, intermediate_values={1: 2.0, 2: bits}))
    found = describe(study, aim)
    assert [trial["bits_per_byte"] for trial in found["trials"]] == [None, 2.0]
    write_json(tmp_path / "result.json", found)


def test_the_most_dropout_that_a_search_tries_is_trained_with_and_handed_on(
    run_dir: Path, tmp_path: Path
) -> None:
    aim = Aim(**read_json(run_dir / "tune" / "aim.json"))
    study = optuna.create_study()
    study.enqueue_trial({**tuning.rules_trial(aim), "dropout": 0.3})
    trial = study.ask()
    shape, settings, _ = draw(trial, aim)
    assert trial.distributions["dropout"].high == 0.3  # type: ignore[attr-defined]
    assert shape.dropout == settings.dropout == trial.params["dropout"] == 0.3
    best = tmp_path / "best.json"
    write_json(best, tuning.found_settings(trial.params, "portable").model_dump())
    other = shutil.copytree(run_dir, tmp_path / "run", ignore=shutil.ignore_patterns("tune"))
    plan_stage(other, steps=5, settings_file=best)
    assert read_plan(RunDirectory.open(other)).model["dropout"] == 0.3


def test_no_trial_begins_after_the_time_is_over(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run_dir / "tune" / "journal.log").read_text().count('"op_code": 4')
    monkeypatch.setattr(tuning, "objective", None)
    found = tune(run_dir, minutes=1e-9)
    assert (run_dir / "tune" / "journal.log").read_text().count('"op_code": 4') == before
    assert found["trials"]


@pytest.mark.parametrize(
    ("preset", "value", "is_luck"),
    [
        ("portable", 1.4985, True),
        ("portable", 1.49, False),
        ("fast", 1.49, True),  # two seeds beside a table differ by as much
        ("fast", 1.48, False),
        ("fast", 1.45, False),
    ],
)
def test_a_trial_must_be_ahead_of_the_rules_by_more_than_luck(
    preset: Preset, value: float, is_luck: bool
) -> None:
    study = optuna.create_study()
    ranges = {name: optuna.distributions.FloatDistribution(0.0, 5.0) for name in FOUND}
    for bits, params, is_rules in ((1.5, 1.0, True), (value, 0.25, False)):
        study.add_trial(
            optuna.create_trial(
                value=bits,
                params=dict.fromkeys(FOUND, params),
                distributions=ranges,
                user_attrs={"by the rules": is_rules},
            )
        )
    aim = Aim(width=16, flops=1.0, tokens=1, context=32, vocab_size=300, preset=preset)
    found = describe(study, aim)
    assert found["is_luck"] is is_luck
    assert found["best"]["rate_factor"] == (None if is_luck else 0.25)
    assert found["best"]["size"] is None
    assert found["gain_over_rules"] == pytest.approx(1 - value / 1.5, abs=1e-5)


def test_settings_with_an_unknown_key_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"learning_rat": 1.0}))
    with pytest.raises(ConfigError, match="learning_rate"):
        read_settings(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"learning_rate": 0.0},
        {"matrix_rate_factor": -1.0},
        {"weight_decay": -0.1},
        {"warmup": 0.5},
        {"format": 2},
    ],
)
def test_settings_that_no_training_can_have_are_refused(
    tmp_path: Path, wrong: dict[str, float]
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(wrong))
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"^{name} in .*mine.json is wrong"):
        read_settings(path)


def test_settings_of_zero_are_settings(run_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"warmup": 0, "weight_decay": 0}))
    other = shutil.copytree(run_dir, tmp_path / "run", ignore=shutil.ignore_patterns("tune"))
    plan_stage(other, steps=5, settings_file=path)
    plan = read_plan(RunDirectory.open(other))
    assert (plan.warmup, plan.weight_decay) == (0.0, 0.0)
    config = pretrain_config(plan, seed=0)
    assert (config.schedule.warmup, config.optimizer.weight_decay) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("asked", "changed", "told"),
    [
        ({"width": 32}, {}, "for width = 16"),
        ({"preset": "fast"}, {}, "for preset = portable"),
        ({}, {"vocab_size": 4096}, "for vocab_size = 4096"),
    ],
)
def test_a_search_that_is_there_is_not_taken_for_another(
    run_dir: Path, tmp_path: Path, asked: dict[str, Any], changed: dict[str, Any], told: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other, ignore=shutil.ignore_patterns("journal.log"))
    path = other / "tune" / "aim.json"
    write_json(path, {**read_json(path), **changed})
    with pytest.raises(ConfigError, match=told):
        tune(other, minutes=1e-9, **asked)
    assert not (other / "tune" / "journal.log").exists()


def test_the_command_tries_fast_models_beside_a_table(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other, ignore=shutil.ignore_patterns("journal.log", "plan.json"))
    path = other / "tune" / "aim.json"
    write_json(path, {**read_json(path), "preset": "fast"})
    attached = []

    def attach(model: Decoder, prior: Any) -> None:
        attached.append(prior)
        was(model, prior)

    was = Decoder.attach_prior
    monkeypatch.setattr(Decoder, "attach_prior", attach)
    asked = ["tune", str(other), "--minutes", "1", "--trials", "2", "--preset", "fast"]
    told = CliRunner().invoke(build_app(), asked)
    assert told.exit_code == 0, told.output
    found = read_json(other / "tune" / "result.json")
    done = [t["bits_per_byte"] for t in found["trials"] if t["state"] == "complete"]
    assert found["aim"]["preset"] == "fast"
    assert done
    assert len(attached) == 2
    assert attached[0] is attached[1]  # counted once
    assert not (other / "prior.json").exists()
    # What was found says which preset it is for, and a plan by it says so too.
    best = tmp_path / "best.json"
    write_json(best, {"preset": "fast", "rate_factor": 1.5})
    said = Told()
    plan_stage(other, steps=5, settings_file=best, progress=said)
    assert read_plan(RunDirectory.open(other)).preset == "fast"
    assert any("the preset fast" in line for line in said.lines)


def test_what_mattered_is_judged_in_one_way_whatever_the_version_of_optuna_prefers(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def importances(study: optuna.Study, **given: Any) -> dict[str, float]:
        asked.append(type(given["evaluator"]).__name__)
        return {}

    monkeypatch.setattr(optuna.importance, "get_param_importances", importances)
    study = optuna.create_study()
    for value in (1.0, 2.0, 3.0, 4.0):
        study.add_trial(
            optuna.create_trial(
                value=value,
                params=dict.fromkeys(FOUND, value / 10),
                distributions={
                    name: optuna.distributions.FloatDistribution(0.0, 5.0) for name in FOUND
                },
            )
        )
    describe(study, Aim(width=16, flops=1.0, tokens=1, context=32, vocab_size=300))
    assert asked == ["PedAnovaImportanceEvaluator"]


def test_a_new_search_is_timed_with_the_models_it_will_try(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other, ignore=shutil.ignore_patterns("tune"))
    timed = []

    def speed(shape: Any, *, beside: Any, **_: Any) -> float:
        timed.append((shape.ngram_prior, beside is not None))
        return 1e6

    monkeypatch.setattr(aiming, "tokens_per_second", speed)
    monkeypatch.setattr(tuning, "objective", lambda *_: 1.5)
    found = tune(other, minutes=2.0, trials=1, width=32, preset="fast")
    assert timed == [(True, True)]
    aim = read_json(other / "tune" / "aim.json")
    assert found["aim"] == aim
    assert (aim["width"], aim["preset"]) == (32, "fast")
    # A quarter of what all trials would read if none were stopped.
    assert aim["tokens"] == pytest.approx(2 * 60 * 1e6 / (24 * 0.26), rel=0.05)
    # The same command again, or one that names neither, goes on with it.
    assert tune(other, minutes=1e-9, width=32, preset="fast")["aim"] == aim
    assert tune(other, minutes=1e-9)["aim"] == aim
    assert len(timed) == 1
