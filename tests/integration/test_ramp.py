"""Pretraining by a plan whose batches and contexts grow: by steps, by time, and killed."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from dying import killed, often, pretrain_until

from homespun.core import ConfigError, RunError, Silent
from homespun.core.files import read_json, read_jsonl
from homespun.recipes import PlanOptions, plan_stage, pretrain_stage
from homespun.recipes.learn import pretrain
from homespun.recipes.stages import prepare_corpus

RAMP = "0.25:2x32,0.25:4x32,0.5:4x64"
ROWS = [64] * 3 + [128] * 3 + [256] * 6
ASKED: dict[str, Any] = {
    "steps": 12, "size": "16x2", "preset": "portable", "options": PlanOptions(ramp=RAMP),
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with shards and no plan; to be copied."""
    runs = tmp_path_factory.mktemp("prepared")
    return prepare_corpus(str(texts), runs=runs, progress=Silent())


def rows_of(run: Path) -> list[dict[str, Any]]:
    """What training wrote, without what a clock says."""
    rows = read_jsonl(run / "pretrain" / "metrics.jsonl")
    kept = ("step", "tokens", "epoch", "loss", "lr", "grad_norm")
    return [{key: row[key] for key in kept} for row in rows if row["kind"] == "train"]


@pytest.mark.parametrize("preset", ["portable", "fast"])
def test_a_ramped_run_killed_in_every_part_ends_the_same(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    asked = {**ASKED, "preset": preset}
    runs = [Path(shutil.copytree(prepared, tmp_path / name)) for name in ("whole", "killed")]
    for when in ("pretrain@5", "pretrain@5"):  # the second counted from where it goes on
        assert killed(pretrain_until, when, str(runs[1]), asked)
    newest = [int(p.name[-8:]) for p in (runs[1] / "pretrain" / "checkpoints").glob("step-*")]
    assert 4 <= max(newest) < 12, "it went on in the middle"
    monkeypatch.setattr(pretrain, "pretrain_config", often(pretrain.pretrain_config))
    done = [pretrain_stage(run, **asked) for run in runs]
    assert done[0]["weights_sha256"] == done[1]["weights_sha256"]
    assert rows_of(runs[0]) == rows_of(runs[1])
    assert [row["tokens"] for row in rows_of(runs[0])] == [
        sum(ROWS[: step + 1]) for step in range(12)
    ]
    plan = read_json(runs[0] / "plan.json")
    assert plan["expected_tokens"] == sum(ROWS) == done[0]["result"]["tokens"]
    assert plan["model"]["context"] == 64
    assert (plan["rows"], plan["num_steps"], plan["ramp_steps"]) == (4, 12, 12)


def test_a_ramped_run_by_time_ends_on_time(prepared: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    asked = {**ASKED, "steps": None, "minutes": 0.1}
    # Read so seldom that time ends it, not the sixteenth reading.
    asked["options"] = PlanOptions(ramp="0.5:1x32,0.5:1x64")
    asked["size"] = "128x5"
    result = pretrain_stage(run, **asked)["result"]
    plan = read_json(run / "plan.json")
    assert result["seconds"] < 1.1 * plan["seconds"] + 1.0
    told = plan["ramp_steps"] * 48
    assert abs(told - plan["expected_tokens"]) <= 48
    sizes = [row["tokens"] for row in rows_of(run)]
    steps = {after - before for before, after in itertools.pairwise(sizes)}
    assert steps <= {32, 64}
    assert result["tokens"] > 0


def test_a_plan_with_another_ramp_is_not_continued(prepared: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    plan_stage(run, **ASKED)
    for other in ("1:4x64", "0.25:2x32,0.25:4x32,0.5:4x64,sqrt"):
        with pytest.raises(RunError, match=r"made with --ramp 0\.25.*leave --ramp out"):
            pretrain_stage(run, **{**ASKED, "options": PlanOptions(ramp=other)})
    with pytest.raises(ConfigError, match=r"the training text has .* tokens and a row"):
        plan_stage(run, **{**ASKED, "options": PlanOptions(ramp="1:1x65536")})
