"""The speed benchmark: peers' paths, operation counts, contenders in their processes, figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.cli.main import main
from homespun.core import ConfigError, RunError
from homespun.models import DecoderConfig
from homespun.models import train_flops_per_token as counted
from homespun.recipes.bench import SIZES, SpeedAsk, bench_speed, parse_peers
from homespun.recipes.bench import speed as speed_module
from homespun.recipes.bench.contender import Contender
from homespun.recipes.bench.peers import PEERS, Peer, train_flops_per_token
from homespun.recipes.bench.speed import Size, entries, summary


def peers_folder() -> Path:
    value = os.environ.get("HOMESPUN_PEERS", "")
    if not value:
        pytest.skip("HOMESPUN_PEERS does not name a folder with peers' checkouts")
    return Path(value)


def checkout(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    for file in PEERS[name]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("", encoding="utf-8")
    return folder


def test_a_checkout_is_known_by_its_files(tmp_path: Path) -> None:
    folder = checkout(tmp_path, "nanochat")
    assert parse_peers([f"nanochat={folder}"]) == [Peer("nanochat", folder.resolve())]
    assert parse_peers(["transformers"]) == [Peer("transformers", None)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nanogtp=/nowhere", "did you mean 'nanogpt'"),
        ("nanogpt=/nowhere", "/nowhere is not a checkout of nanogpt"),
        ("nanogpt", "nothing is not a checkout of nanogpt"),
        ("minimind=", "give --peer minimind=FOLDER"),
    ],
)
def test_a_wrong_peer_is_told_in_one_sentence(
    given: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_peers([given])
    assert main(["bench", "train", "--peer", given]) != 0
    shown = " ".join(capsys.readouterr().err.split())
    assert told in shown
    assert "Traceback" not in shown


def test_a_checkout_of_another_project_is_refused(tmp_path: Path) -> None:
    folder = checkout(tmp_path, "nanogpt")
    with pytest.raises(ConfigError, match=r"no nanochat/gpt\.py in it"):
        parse_peers([f"nanochat={folder}"])


@pytest.mark.parametrize("size", SIZES)
def test_operations_of_any_decoder_are_counted_as_those_of_ours(size: str) -> None:
    named = SIZES[size]
    config = DecoderConfig(
        vocab_size=named.vocab_size,
        num_layers=named.num_layers,
        width=named.width,
        num_heads=named.num_heads,
        num_kv_heads=named.num_heads,
        head_width=named.width // named.num_heads,
        mlp_width=named.mlp_width,
        context=256,
    )
    block = 4 * named.width**2 + 3 * named.width * named.mlp_width
    by_formula = train_flops_per_token(
        matrix_parameters=named.num_layers * block,
        head_parameters=named.vocab_size * named.width,
        num_layers=named.num_layers,
        attention_width=named.width,
        length=256,
    )
    assert by_formula == counted(config)


def test_figures_follow_from_the_median_step() -> None:
    facts = {
        "flops_per_token": 10**6,
        "peak_memory_bytes": 5,
        "parameters": 7,
        "threads": 2,
        "warm_up_seconds": 0.5,
    }
    row = summary([0.2, 0.1, 0.5], facts, tokens=1000, peak=20.0)
    assert row["tokens_per_second"] == 5000.0
    assert row["gflops"] == 5.0
    assert row["share_of_gemm_peak"] == 0.25
    assert row["step_seconds"] == {"median": 0.2, "best": 0.1, "worst": 0.5}


def test_who_takes_part_and_with_which_settings(tmp_path: Path) -> None:
    ask = SpeedAsk(
        sizes=("1m",),
        peers=(Peer("nanochat", tmp_path), Peer("transformers", None)),
        tuned=True,
        compiled=True,
        optimizers=("muon", "adamw"),
    )
    lineup = {entry.label: entry for entry in entries(SIZES["1m"], ask)}
    assert list(lineup) == [
        "homespun, muon",
        "homespun, adamw",
        "nanochat",
        "nanochat, eager",
        "nanochat, tuned",
        "transformers",
        "transformers, compiled",
        "transformers, tuned",
    ]
    assert lineup["nanochat"].job["compile"]
    assert not lineup["nanochat, eager"].job["compile"]
    assert not lineup["transformers"].job["tuned"]
    assert lineup["transformers, tuned"].job["tuned"]


TINY = Size(num_layers=1, width=32, num_heads=2, mlp_width=32, vocab_size=50)


def measure(monkeypatch: pytest.MonkeyPatch, *peers: Peer) -> dict[str, Any]:
    monkeypatch.setitem(SIZES, "tiny", TINY)
    monkeypatch.setattr(speed_module, "_GEMM_SECONDS", 0.01)
    ask = SpeedAsk(sizes=("tiny",), peers=peers, rows=2, context=16, seconds=0.06, threads=1)
    found: dict[str, Any] = bench_speed(ask)["sizes"][0]
    return found


def test_ours_is_measured_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure(monkeypatch)
    (ours,) = found["contenders"]
    assert ours["steps"] >= speed_module.ROUNDS
    assert ours["threads"] == 1
    assert ours["tokens_per_second"] > 0
    assert 10**7 < ours["peak_memory_bytes"] < 10**10
    assert found["gemm_gflops"]["measurements"] == speed_module.ROUNDS + 1
    assert found["gemm_gflops"]["worst"] <= found["gemm_gflops"]["best"]
    assert found["ratio_to_best_peer"] is None


def test_an_unknown_size_is_told() -> None:
    with pytest.raises(ConfigError, match="no size of that name"):
        bench_speed(SpeedAsk(sizes=("13m",)))


def test_a_peer_that_does_not_run_is_named_with_its_reason(tmp_path: Path) -> None:
    folder = checkout(tmp_path, "nanogpt")
    job = entries(TINY, SpeedAsk(("1m",), (Peer("nanogpt", folder),)))[1].job
    with (
        Contender("nanogpt", job) as child,
        pytest.raises(RunError, match=r"nanogpt could not be measured .*GPT"),
    ):
        child.answer()


@pytest.mark.parametrize("name", [name for name in PEERS if PEERS[name]])
def test_an_adapter_builds_its_peer_and_learns(name: str) -> None:
    folder = next(
        (path for path in peers_folder().iterdir() if path.name.lower() == name), peers_folder()
    )
    peer = parse_peers([f"{name}={folder}"])[0]
    job = entries(TINY, SpeedAsk(("1m",), (peer,), context=16))[1].job
    with Contender(
        name, {**job, "compile": False}, environment={"TORCHDYNAMO_DISABLE": "1"}
    ) as child:
        facts = child.answer()
        assert facts["parameters"] > 50 * 32
        # Its own count by hand: attention of 16 tokens, a block of its own shape, and the head.
        block = {"nanogpt": 12 * 32**2, "nanochat": 12 * 32**2 + 2 * 12 + 24, "minimind": 4 * 32**2}
        if name == "minimind":
            block[name] += 3 * 32 * 128  # ceil(32π / 64) · 64
        vocabulary = 64 if name == "nanochat" else 50  # padded to a multiple of 64
        assert facts["flops_per_token"] == train_flops_per_token(
            matrix_parameters=block[name],
            head_parameters=vocabulary * 32,
            num_layers=1,
            attention_width=32,
            length=16,
        )
        answer = child.ask({"seconds": 0.05})
        assert len(answer["steps"]) >= 1


@pytest.mark.slow
def test_the_plain_loop_over_transformers_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    found = measure(monkeypatch, Peer("transformers", None))
    ours, theirs = found["contenders"]
    assert theirs["name"] == "transformers"
    assert found["ratio_to_best_peer"] == pytest.approx(
        ours["tokens_per_second"] / theirs["tokens_per_second"], abs=1e-3
    )
    assert torch.get_num_threads() >= 1
