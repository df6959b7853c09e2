"""`finetune write --base RUN`: runs go on learning a user's texts, beside a table or not."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from bad_input_stage import tales
from table_stage import plan_with_table

from homespun.cli import main
from homespun.recipes import pipeline as pipeline_module
from homespun.recipes import spin
from homespun.recipes.applications import Asked, learn_application, open_application


@pytest.fixture
def stories(tmp_path: Path) -> Path:
    texts = [text for text in tales(150).split("\n\n") if text.strip()]
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_a_run_goes_on_and_stands_beside_itself(
    finished: Path,
    stories: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    shutil.copytree(finished, tmp_path / "runs" / "mine")
    settings = ["--set", "epochs=2", "--set", "tries=1", "--set", "max_tokens=20"]
    asked = ["finetune", "write", stories.name, "--out", "out", "--base", "mine", *settings]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "write by tuned" in told
    assert "untaught: bits per byte" in told
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    (base,) = results["baselines"]
    assert base["method"] == "untaught"
    assert results["measures"][0]["value"] < base["measures"][0]["value"]
    assert "better than every baseline" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Begun with the run `mine`" in (tmp_path / "out" / "README.md").read_text("utf-8")
    shutil.rmtree(tmp_path / "runs")  # what was learned needs the run no more
    monkeypatch.setattr(sys, "stdin", io.StringIO("Once\n"))
    assert main(["apply", "write", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("Once")
    assert main([*asked[:-1], "max_tokens=21"]) == 1
    assert main(["finetune", "write", stories.name, "--out", "x", "--base", "mune"]) == 1
    assert "there is no run in mune" in capsys.readouterr().err


def test_a_model_beside_a_table_keeps_it(texts: Path, stories: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_module, "make_run_plan", plan_with_table)
        run = spin(texts, runs=tmp_path, name="tiny", steps=6, minutes=0.5)
    options = {"epochs": "1", "tries": "1", "max_tokens": "10"}
    out = tmp_path / "out"
    told = learn_application(Asked("write", stories, out, base=run.path, options=options))
    assert told["measures"][0]["value"] > 0
    learned = open_application(out).learned
    kept = learned.model.prior
    assert kept is not None
    assert run.model.prior is not None
    for name, tensor in run.model.prior.whole().tensors().items():
        assert torch.equal(kept.tensors()[name], tensor)
    (out / "model" / "table.safetensors").write_bytes(b"x")
    assert main(["apply", "write", str(out), str(stories)]) == 1
