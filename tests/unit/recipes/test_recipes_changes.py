"""Settings of a training in place of its plan's: what may be set, that it is trained by and kept,
and that a training which has begun is not continued by others."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from homespun.cli.commands.plan import settings_text
from homespun.cli.main import build_app
from homespun.core import ConfigError, RunDirectory, RunError, Silent
from homespun.core.files import read_json, write_json
from homespun.recipes import measure
from homespun.recipes.learn import pretrain_config
from homespun.recipes.learn.chat import chat_config
from homespun.recipes.plan import PlanOptions, RunPlan, read_changes, read_plan
from homespun.recipes.plan.changes import with_changes
from homespun.recipes.stages import plan_stage, prepare_corpus, pretrain_stage
from homespun.scaling.rules import ADAMW_RATE
from homespun.training import TrainConfig

WORDS = ["the", "a", "red", "old", "king", "queen", "river", "sees", "finds", "keeps", "stone"]
SET = (
    "optimizer.kind=adamw",
    "schedule.kind=cosine",
    'train.ema={"kind":"ema","start":0.25}',
    "train.clip_norm=0.5",
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(0)
    for number in range(12):
        lines = [" ".join(draw.choices(WORDS, k=9)) + "." for _ in range(30)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def made(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_corpus(str(texts), runs=tmp_path_factory.mktemp("runs"), progress=Silent())


@pytest.fixture
def run_dir(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    shutil.copytree(made, path)
    return path


def test_settings_are_read_by_section() -> None:
    assert read_changes(SET) == {
        "optimizer": {"kind": "adamw"},
        "schedule": {"kind": "cosine"},
        "train": {"ema": {"kind": "ema", "start": 0.25}, "clip_norm": 0.5},
    }
    assert read_changes(["train.ema.start=0.3"]) == {"train": {"ema": {"start": 0.3}}}
    assert read_changes([]) == {}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("optimiser.kind=adamw", "did you mean 'optimizer'"),
        ("rows=4", "no such section"),
        ("optimizer.knid=adamw", "did you mean 'kind'"),
        ("optimizer.kind=adam", "kind in --set optimizer is wrong"),
        ("optimizer.kind=sgd", "no rate is known that suits SGD"),
        ("schedule.kind=cosinus", "kind in --set schedule is wrong"),
        ("schedule.warmup=0.9", "cannot exceed 1"),
        ("train.ema.strat=0.3", "'ema.strat' in --set; did you mean 'start'"),
        ("train.keep_checkpoints=1", "keep_checkpoints"),
        ("train.seconds=5", "--minutes"),
        ("train.num_steps=5", "--steps"),
        ("train.optimizer.kind=adamw", "optimizer.kind"),
        ("optimizer.kind", "key=value"),
        ("optimizer={}", "is a section"),
        ("optimizer.momentum_start=0.85", "one of them does nothing"),
        ("optimizer.momentum_warmup=0.1", "one of them does nothing"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_changes([setting])


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("adamw", "matrix_learning_rate=1e-3"),
        ("adamw", "momentum=0.9"),
        ("sgd", "beta2=0.9"),
        ("sgd", "orthogonal=halley"),
    ],
)
def test_what_an_optimiser_never_looks_at_is_refused(kind: str, setting: str) -> None:
    chosen = [f"optimizer.kind={kind}", "optimizer.learning_rate=0.1"]
    name = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=f"optimizer.{name} means nothing to {kind}"):
        read_changes([*chosen, f"optimizer.{setting}"])
    assert read_changes([*chosen, "optimizer.weight_decay=0.2"])


def test_settings_are_put_beside_those_of_the_plan(run_dir: Path) -> None:
    plan_stage(run_dir, steps=4, size="16x2", options=PlanOptions(changes=SET))
    told = CliRunner().invoke(build_app(), ["pretrain", str(run_dir), "--keep-checkpoints", "5"])
    assert told.exit_code == 0, told.output
    kept = read_json(run_dir / "pretrain" / "config.json")["train"]
    assert kept["optimizer"]["kind"] == "adamw"
    assert kept["ema"]["start"] == 0.25
    assert kept["keep_checkpoints"] == 5
    assert read_plan(RunDirectory.open(run_dir)).changes["train"]["keep_checkpoints"] == 5


def test_adamw_learns_matrices_at_a_rate_of_its_own() -> None:
    config = TrainConfig(
        num_steps=1,
        optimizer={"kind": "muon", "learning_rate": 0.04, "matrix_learning_rate": 0.01},  # type: ignore[arg-type]
    )
    taken = with_changes(config, read_changes(["optimizer.kind=adamw"])).optimizer
    assert taken.learning_rate == 0.04
    assert taken.kinds.matrix.rate * taken.learning_rate == pytest.approx(ADAMW_RATE)
    own = ["optimizer.kind=adamw", "optimizer.kinds.matrix.rate=0.5"]
    assert with_changes(config, read_changes(own)).optimizer.kinds.matrix.rate == 0.5
    assert with_changes(config, {}) == config


def test_a_plan_keeps_what_is_set_and_the_training_is_held_to_it(run_dir: Path) -> None:
    options = PlanOptions(changes=SET)
    plan_stage(run_dir, steps=6, size="16x2", options=options)
    plan = read_plan(RunDirectory.open(run_dir))
    config = pretrain_config(plan, seed=0)
    assert (config.optimizer.kind, config.schedule.kind) == ("adamw", "cosine")
    assert config.ema is not None
    assert config.ema.start == 0.25
    assert chat_config(plan, seconds=None, steps=3, seed=0).optimizer.kind == "adamw"
    pretrain_stage(run_dir)
    kept = read_json(run_dir / "pretrain" / "config.json")["train"]
    assert kept["optimizer"]["kind"] == "adamw"
    assert kept["schedule"]["kind"] == "cosine"
    assert kept["clip_norm"] == 0.5
    # Repeated, with the settings or without, it is the same training; with others it is not.
    done = pretrain_stage(run_dir)
    assert pretrain_stage(run_dir, options=options) == done
    with pytest.raises(RunError, match="begun with other settings"):
        pretrain_stage(run_dir, options=PlanOptions(changes=("schedule.kind=linear",)))
    assert read_plan(RunDirectory.open(run_dir)).changes == plan.changes


def test_a_plan_without_settings_takes_them_until_training_begins(run_dir: Path) -> None:
    plan_stage(run_dir, steps=20, size="16x2")
    before = read_plan(RunDirectory.open(run_dir))
    told = CliRunner().invoke(
        build_app(),
        ["pretrain", str(run_dir), "--keep-checkpoints", "5", "--checkpoint-minutes", "0.00001"],
    )
    assert told.exit_code == 0, told.output
    plan = read_plan(RunDirectory.open(run_dir))
    assert plan.changes == {"train": {"keep_checkpoints": 5, "checkpoint_seconds": 0.0006}}
    assert before.disk_bytes is not None
    assert plan.disk_bytes == before.disk_bytes + 3 * measure.checkpoint_bytes(shape_of(plan))
    # Five, and one to go back to should the training go wrong.
    assert len(list((run_dir / "pretrain" / "checkpoints").glob("step-*"))) in (5, 6)


@pytest.mark.parametrize("when", ["with the plan", "before training"])
def test_what_an_average_or_adamw_keeps_is_foretold(run_dir: Path, when: str) -> None:
    options = PlanOptions(changes=("train.ema.kind=ema", "optimizer.kind=adamw"))
    plan_stage(run_dir, steps=6, size="16x2")
    before = read_plan(RunDirectory.open(run_dir))
    if when == "with the plan":
        plan_stage(run_dir, steps=6, size="16x2", options=options)
    pretrain_stage(run_dir, options=options)
    plan = read_plan(RunDirectory.open(run_dir))
    assert before.disk_bytes is not None
    assert plan.disk_bytes is not None
    (saved, *_) = (run_dir / "pretrain" / "checkpoints").glob("step-*/optimizer.safetensors")
    one = saved.stat().st_size + (saved.parent / "weights.safetensors").stat().st_size
    foretold = (plan.disk_bytes - 4 * plan.parameters) / (measure.KEPT_CHECKPOINTS + 3)
    assert foretold <= one < 1.2 * foretold, "but for the names of the tensors"
    if when == "before training":  # else memory is measured anew
        for name in ("memory_bytes", "needed_bytes"):
            assert getattr(plan, name) == getattr(before, name) + 2 * 4 * plan.parameters


def shape_of(plan: RunPlan) -> Any:
    from homespun.models import DecoderConfig

    return DecoderConfig(**plan.model)


def test_a_wrong_setting_is_told_before_anything_is_made(texts: Path, tmp_path: Path) -> None:
    for command in (
        ["spin", str(texts), "--runs", str(tmp_path), "--minutes", "1"],
        ["plan", "--corpus", str(texts), "--runs", str(tmp_path), "--steps", "3"],
    ):
        told = CliRunner().invoke(build_app(), [*command, "--set", "optimizer.kind=lion"])
        assert isinstance(told.exception, ConfigError), told.output
        assert "kind in --set optimizer is wrong" in str(told.exception)
        assert not list(tmp_path.iterdir())


def test_a_loss_is_not_compared_with_runs_of_another_optimiser(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.recipes.learn import pretrain

    asked = []
    monkeypatch.setattr(pretrain, "expected_curve", lambda *_: asked.append(1))
    for setting, compared in (("schedule.kind=cosine", 0), ("train.ema.kind=ema", 1)):
        path = run_dir.with_name(setting.partition("=")[0])
        shutil.copytree(run_dir, path)
        plan_stage(path, steps=2, size="16x2", options=PlanOptions(changes=(setting,)))
        pretrain_stage(path)
        assert len(asked) == compared


def test_a_loss_is_compared_of_a_model_with_dropout_too(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.recipes.learn import pretrain

    asked: list[float] = []
    monkeypatch.setattr(
        pretrain, "expected_curve", lambda run, plan: asked.append(plan.model["dropout"])
    )
    plan_stage(run_dir, steps=2, size="16x2")
    values = read_json(run_dir / "plan.json")
    values["model"]["dropout"] = 0.1
    write_json(run_dir / "plan.json", values)
    pretrain_stage(run_dir)
    assert asked == [0.1]


def test_a_plan_of_before_there_were_settings_is_read(run_dir: Path) -> None:
    plan_stage(run_dir, steps=2, size="16x2")
    values = read_json(run_dir / "plan.json")
    del values["changes"]
    write_json(run_dir / "plan.json", values)
    assert read_plan(RunDirectory.open(run_dir)).changes == {}


def test_settings_are_shown_as_they_were_given() -> None:
    changes = read_changes(["optimizer.kinds.head.rate=0.1", "schedule.kind=linear"])
    assert settings_text(changes) == ["optimizer.kinds.head.rate=0.1", "schedule.kind=linear"]
