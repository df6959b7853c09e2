"""The whole job on a tiny text: repeatable, usable, and indifferent to being killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from dying import killed, spin_until

from homespun.core import RunError, Silent
from homespun.core.files import sha256_file
from homespun.recipes import Run, evaluate_stage, plan_stage, spin
from homespun.recipes.judge import was_lowest_last
from homespun.recipes.learn import MAX_CHAT_EPOCHS, MIN_CHAT_STEPS
from homespun.scaling.plan import MAX_EPOCHS

STEPS = 6
MINUTES = 0.5
ASKED: dict[str, Any] = {"name": "tiny", "steps": STEPS, "minutes": MINUTES, "preset": "portable"}


@pytest.fixture(scope="module")
def spun(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("runs")
    return spin(texts, runs=runs, **ASKED)


def weights(run: Path) -> list[str]:
    """The sha256 of both stages' final weights."""
    return [
        json.loads((run / stage / "done.json").read_text())["weights_sha256"]
        for stage in ("pretrain", "sft")
    ]


def test_a_spin_leaves_every_part_of_a_run(spun: Run) -> None:
    parts = (
        "run.json", "clock.json", "timings.json", "corpus/card.json", "chat/card.json",
        "tokenizer.json", "shards/index.json", "plan.json", "baselines.json",
        "pretrain/done.json", "sft/base.json", "sft/done.json", "eval.json", "report.html",
    )  # fmt: skip
    assert [name for name in parts if not (spun.path / name).is_file()] == []
    assert list(spun.path.rglob("*.tmp")) == []


def test_a_run_that_was_killed_again_and_again_ends_with_the_same_weights(
    spun: Run, texts: Path, tmp_path: Path
) -> None:
    for stage in ("learning the vocabulary", "pretrain", "sft", "evaluate"):
        assert killed(spin_until, stage, str(texts), str(tmp_path), ASKED)
        # A run of so many steps goes on however long the stages before took.
        (tmp_path / "tiny" / "clock.json").write_text('{"seconds": 5000.0}')
    again = spin(texts, runs=tmp_path, **ASKED)
    assert weights(again.path) == weights(spun.path)
    for name in ("tokenizer.json", "shards/train-000.bin", "chat/train.jsonl"):
        assert sha256_file(again.path / name) == sha256_file(spun.path / name)


def test_a_small_text_is_read_so_often_and_the_rest_of_the_minutes_is_left(
    texts: Path, tmp_path: Path
) -> None:
    run = spin(texts, runs=tmp_path, name="tiny", minutes=MINUTES)
    plan, chat = (
        json.loads((run.path / name).read_text()) for name in ("plan.json", "sft/config.json")
    )
    assert plan["preset"] == "fast"  # what a spin takes where nobody asks for another
    assert plan["other"]["bits_per_byte"] > plan["prediction"]["bits_per_byte"]
    assert plan["num_steps"] is not None
    assert 0 < plan["seconds"] < 60 * MINUTES
    assert chat["train"]["num_steps"] is not None
    assert 0 < chat["train"]["seconds"] < 60 * MINUTES
    done = [
        json.loads((run.path / stage / "done.json").read_text())["result"]
        for stage in ("pretrain", "sft")
    ]
    assert done[0]["epochs"] <= 1.05 * MAX_EPOCHS  # an epoch counts whole rows
    few = done[1]["steps"] <= MIN_CHAT_STEPS  # a few conversations are read more often
    assert few or done[1]["epochs"] <= 1.05 * MAX_CHAT_EPOCHS
    assert json.loads((run.path / "clock.json").read_text())["seconds"] < 60 * MINUTES


def test_the_evaluation_knows_whether_held_out_loss_still_fell(spun: Run) -> None:
    told = was_lowest_last(spun.path / "pretrain")
    assert told is not None
    assert json.loads((spun.path / "eval.json").read_text())["gap"]["lowest_last"] is told


def test_a_finished_run_is_opened_and_not_spun_again(spun: Run, texts: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in spun.path.rglob("*.json*")}
    said: list[str] = []

    class Listens(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    spin(texts, runs=spun.path.parent, progress=Listens(), **ASKED)
    changed = {path.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed <= {"clock.json"}
    assert "is finished" in said[0]


def test_a_plan_uses_no_more_threads_than_the_container_has_cores(
    spun: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(spun.path, run, ignore=shutil.ignore_patterns("pretrain", "sft"))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        monkeypatch.setattr("homespun.recipes.plan.make.num_cores", lambda: 1)
        assert plan_stage(run, steps=STEPS)["threads"] == torch.get_num_threads() == 1
        torch.set_num_threads(2)
        monkeypatch.setattr("homespun.recipes.plan.make.num_cores", lambda: 64)
        assert plan_stage(run, steps=STEPS)["threads"] == 2
    finally:
        torch.set_num_threads(before)


def test_it_continues_a_text_and_answers(spun: Run) -> None:
    first = spun.generate("The fox", max_tokens=12, seed=1)
    assert first.token_ids == spun.generate("The fox", max_tokens=12, seed=1).token_ids
    assert len(first.token_ids) == 12 or first.finish_reason == "stop"
    assert isinstance(spun.chat("Who are you?", max_tokens=8), str)


def test_transformers_reads_the_export_and_computes_the_same(spun: Run, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    out = spun.export_hf(tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    ids = torch.tensor([spun.tokenizer.encode("The fox met a bird by the river.").tolist()])
    with torch.no_grad():
        expected = theirs(ids).logits
        got = spun.model.head(spun.model(ids))
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-3)


def test_evaluating_again_writes_the_report_anew(spun: Run) -> None:
    for path in (spun.directory.eval, spun.directory.report):
        path.write_text("stale")
    result = evaluate_stage(spun.path, seconds=5.0)
    assert json.loads(spun.directory.eval.read_text()) == result
    assert spun.directory.report.read_text() != "stale"


def test_an_evaluation_that_fails_leaves_the_old_one(
    spun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import homespun.evaluation

    def fails(*args: object, **settings: object) -> None:
        raise RunError("no light")

    before = spun.directory.eval.read_bytes()
    monkeypatch.setattr(homespun.evaluation, "evaluate_run", fails)
    with pytest.raises(RunError, match="no light"):
        evaluate_stage(spun.path)
    assert spun.directory.eval.read_bytes() == before


def test_texts_that_teach_nothing_leave_no_run(tmp_path: Path) -> None:
    from homespun.core import DataError

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("Too short.\n")
    with pytest.raises(DataError):
        spin(tmp_path / "texts", runs=tmp_path / "runs", steps=1)
    assert list((tmp_path / "runs").iterdir()) == []
