"""A small text read many times: its best weights are kept, said, and the same after kills."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from dying import killed, often, pretrain_until

from homespun.core import RunError, Silent
from homespun.core.files import read_json, read_jsonl
from homespun.recipes import PlanOptions, Run, pretrain_stage, spin
from homespun.recipes.learn import pretrain
from homespun.recipes.stages import prepare_corpus
from homespun.reports import write_report
from homespun.training import load_weights

WHO = (
    "fox", "hen", "dog", "cat", "king", "queen", "miller", "smith", "baker", "child", "thief",
)  # fmt: skip
DID = ("saw", "met", "fed", "lost", "found", "sold", "kept", "hid", "heard", "followed", "warned")
WHERE = ("river", "mill", "barn", "castle", "garden", "road", "bridge", "church", "market", "hill")
WHO_ZH = ("狐狸", "母鸡", "国王", "磨坊主", "铁匠", "孩子", "小偷", "法官", "巨人", "矮人")
DID_ZH = ("看见", "遇到", "喂养", "丢失", "找到", "卖掉", "藏起", "听见", "跟随", "帮助")
ASKED: dict[str, Any] = {"steps": 110, "size": "64x2", "preset": "portable"}


def tale(draw: random.Random, number: int) -> str:
    """Ten sentences in which nothing tells what comes, so that only memory helps."""
    if number % 3 == 0:
        parts = [
            f"{draw.choice(WHO_ZH)}{draw.choice(DID_ZH)}了{draw.choice(WHO_ZH)}。"
            for _ in range(20)
        ]
    else:
        parts = [
            f"The {draw.choice(WHO)} {draw.choice(DID)} the {draw.choice(WHO)} "
            f"near the {draw.choice(WHERE)}. "
            for _ in range(10)
        ]
    return "".join(parts)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with shards and no plan; to be copied."""
    folder = tmp_path_factory.mktemp("source") / "tales"
    folder.mkdir()
    draw = random.Random(0)
    for number in range(60):
        (folder / f"tale{number:02}.txt").write_text(tale(draw, number), encoding="utf-8")
    runs = tmp_path_factory.mktemp("prepared")
    return prepare_corpus(str(folder), runs=runs, progress=Silent())


@pytest.mark.parametrize("stop_early", [False, True])
def test_what_is_learned_by_heart_is_not_kept(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_early: bool
) -> None:
    asked = {**ASKED, "options": PlanOptions(stop_early=stop_early)}
    runs = [Path(shutil.copytree(prepared, tmp_path / name)) for name in ("whole", "killed")]
    monkeypatch.setattr(pretrain, "pretrain_config", often(pretrain.pretrain_config))
    done = pretrain_stage(runs[0], **asked)
    looks = [r for r in read_jsonl(runs[0] / "pretrain/metrics.jsonl") if r["kind"] == "eval"]
    kept = done["result"]["weights"]
    if stop_early:
        assert done["result"]["stopped"] == "early"
        assert done["result"]["steps"] < ASKED["steps"]
    assert kept is not None
    lowest = min(looks, key=lambda row: (row["loss"], row["step"]))
    assert kept["step"] == lowest["step"] < kept["last_step"]
    assert kept["loss"] < kept["last_loss"]
    assert done["checkpoint"] == f"step-{kept['step']:08d}"
    assert done["result"]["evaluation"]["loss"] == lowest["loss"]
    page = write_report(runs[0]).read_text(encoding="utf-8")
    assert f"Held-out loss was lowest after {kept['step']:,} steps; these weights are kept" in page
    for when in ("pretrain@30", "pretrain@60", "pretrain@10"):
        killed(pretrain_until, when, str(runs[1]), asked)
    again = pretrain_stage(runs[1], **asked)
    assert again["weights_sha256"] == done["weights_sha256"]
    assert again["result"]["weights"] == kept
    used = Run(runs[0]).model.state_dict()
    saved = load_weights(runs[0] / "pretrain")
    assert all(torch.equal(used[name], tensor) for name, tensor in saved.items())


def test_a_plan_that_does_not_stop_early_is_not_made_to(prepared: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    asked = {**ASKED, "steps": 2}
    pretrain_stage(run, **asked)
    with pytest.raises(RunError, match=r"made without --stop-early .got.*leave --stop-early out"):
        pretrain_stage(run, **asked, options=PlanOptions(stop_early=True))
    assert read_json(run / "plan.json")["stop_early"] is False


def test_a_spin_plans_by_its_options(texts: Path, tmp_path: Path) -> None:
    options = PlanOptions(memory=8 * 10**9, ramp="0.5:2x32,0.5:4x64", stop_early=True)
    asked: dict[str, Any] = {"name": "tiny", "steps": 6, "preset": "portable", "options": options}
    run = spin(texts, runs=tmp_path, **asked)
    plan = read_json(run.path / "plan.json")
    assert plan["asked"]["memory"] == 8 * 10**9
    assert (plan["rows"], plan["model"]["context"], plan["stop_early"]) == (4, 64, True)
    assert len(plan["ramp"]["phases"]) == 2
    assert read_json(run.path / "run.json")["asked"]["ramp"] == options.ramp
    with pytest.raises(RunError, match="ramp"):
        spin(texts, runs=tmp_path, **{**asked, "options": PlanOptions()})
