"""`torchrun -m homespun …` does what `homespun …` does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from table_stage import plan_with_table
from test_extend_continue import logbook

from homespun.core.files import read_json, read_jsonl, sha256_file
from homespun.recipes import (
    build_corpus_stage,
    plan_stage,
    pretrain_stage,
    stages,
    train_tokenizer_stage,
)


def torchrun(*command: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *launcher, f"--master-port={port}", "-m", "homespun", *command],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )


def close(run: Path) -> float:
    """How near the losses are to be, in nats: of bfloat16 sums of other rows round otherwise."""
    return 1e-4 if read_json(run / "plan.json")["compute_dtype"] == "float32" else 5e-3


@pytest.mark.slow  # each of the processes loads everything anew
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_and_teach_what_one_does(
    finished: Path, tmp_path: Path, strategy: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for part in ("pretrain", "sft", "eval.json", "report.html"):
        shutil.rmtree(run / part, ignore_errors=True)
    for name in ("pretrain", "sft"):
        asked = read_json(finished / name / "config.json")["train"]["num_steps"]
        command = ["pretrain"] if name == "pretrain" else ["finetune", "chat"]
        steps = [] if name == "pretrain" else ["--steps", str(asked)]
        told = torchrun(*command, str(run), *steps, "--strategy", strategy)
        assert told.returncode == 0, told.stderr
        assert told.stdout.count("Next:") == 1
        losses = [
            [row["loss"] for row in read_jsonl(path / name / "metrics.jsonl") if "lr" in row]
            for path in (finished, run)
        ]
        assert losses[1] == pytest.approx(losses[0], abs=close(run))
    checkpoint = read_json(run / "sft" / "done.json")["checkpoint"]
    assert load_file(run / "sft" / "checkpoints" / checkpoint / "weights.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_beside_a_table_what_one_does(
    texts: Path, tmp_path: Path, strategy: str
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    build_corpus_stage(alone, str(texts))
    train_tokenizer_stage(alone, vocab_size=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "make_run_plan", plan_with_table)
        plan_stage(alone, steps=8)
    shutil.copytree(alone, together)
    pretrain_stage(alone)
    told = torchrun("pretrain", str(together), "--strategy", strategy)
    assert told.returncode == 0, told.stderr
    losses = [
        [row["loss"] for row in read_jsonl(run / "pretrain" / "metrics.jsonl") if "lr" in row]
        for run in (alone, together)
    ]
    assert len(losses[0]) == 8
    assert losses[1] == pytest.approx(losses[0], abs=close(alone))
    tables = [sha256_file(run / "prior.safetensors") for run in (alone, together)]
    assert tables[0] == tables[1]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["continue", "extend"])
def test_two_processes_go_on_with_a_model_as_one_does(
    finished: Path, tmp_path: Path, command: str
) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    (tmp_path / "log.txt").write_text(logbook(200))
    words = ["continue", str(tmp_path / "tiny"), str(tmp_path / "log.txt")]
    if command == "extend":
        words = ["extend", "grow", str(tmp_path / "tiny"), "--layers", "4"]
    words += ["--steps", "4", "--name"]
    alone = subprocess.run([sys.executable, "-m", "homespun", *words, "alone"], check=False)
    assert alone.returncode == 0
    told = torchrun(*words, "together", "--strategy", "fsdp")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("Next:") == 1
    runs = [tmp_path / name for name in ("alone", "together")]
    losses = [
        [row["loss"] for row in read_jsonl(run / "pretrain" / "metrics.jsonl") if "lr" in row]
        for run in runs
    ]
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=close(runs[0]))
    assert (runs[1] / "change.json").is_file()


@pytest.mark.slow
def test_a_plan_of_two_processes_measures_both(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for part in ("pretrain", "sft", "eval.json", "report.html", "plan.json"):
        path = run / part
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    told = torchrun("plan", str(run), "--minutes", "0.5", "--portable")
    assert told.returncode == 0, told.stderr
    assert "2 processes train" in told.stdout + told.stderr
    assert told.stdout.count("Next:") == 1
    assert read_json(run / "plan.json")["rows"] >= 2


@pytest.mark.slow
def test_a_wrong_question_is_answered_once(tmp_path: Path) -> None:
    told = torchrun("pretrain", str(tmp_path / "nowhere"))
    assert told.returncode != 0
    assert told.stderr.count("there is no run") == 1
