"""The doctor: what is measured, what follows from it, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from homespun.cli import main as command
from homespun.models import decoder_size, train_flops_per_token
from homespun.recipes.checkup import (
    BUDGETS,
    CONTEXT,
    Trial,
    estimated_rate,
    instructions,
    warnings,
    what_it_trains,
)
from homespun.training.machine import (
    MachineSpeed,
    best_seconds,
    gemm_gflops,
    memory_read_gbs,
    training_tokens_per_second,
)


def trial(size: str, rate: float) -> Trial:
    flops = train_flops_per_token(decoder_size(size, context=CONTEXT))
    return Trial(size, 10**6, flops, rate, 0.3)


def test_the_best_of_several_rounds_is_taken() -> None:
    ticks = iter([0, 0, 5, 5, 8, 8, 12, 99.0])

    def clock() -> float:
        return next(ticks)

    assert best_seconds(lambda: None, seconds=0, clock=clock) == 3


def test_measured_speeds_are_of_a_believable_size() -> None:
    assert 0.1 < gemm_gflops(torch.float32, size=128, seconds=0.02) < 100_000
    assert 0.1 < memory_read_gbs(num_bytes=1 << 20, seconds=0.02) < 100_000


def test_the_training_speed_counts_all_tokens_of_a_step() -> None:
    config = decoder_size("0.2m", context=32)
    model = config.build(torch.Generator().manual_seed(0))
    before = model.embedding.weight.detach().clone()
    rate = training_tokens_per_second(
        model, batch=2, context=32, vocab_size=config.vocab_size, seconds=0.02
    )
    assert 10 < rate < 10_000_000
    assert not torch.equal(before, model.embedding.weight)


def test_an_untried_size_takes_the_efficiency_of_its_neighbour() -> None:
    trials = [trial("1m", 30_000), trial("30m", 800)]
    near = trials[1]
    flops = train_flops_per_token(decoder_size("60m", context=CONTEXT))
    rate = estimated_rate("60m", trials)
    assert rate * flops == pytest.approx(near.tokens_per_second * near.flops_per_token)
    assert rate < 800


def test_more_time_never_advises_a_smaller_model() -> None:
    found = what_it_trains([trial("8m", 10_000)], dtype="bfloat16", available_bytes=10**12)
    sizes = [row["parameters"] for row in found["budgets"]]
    assert [row["name"] for row in found["budgets"]] == [name for name, _ in BUDGETS]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_model_that_does_not_fit_in_memory_is_not_advised() -> None:
    large = what_it_trains([trial("8m", 10**9)], dtype="bfloat16", available_bytes=10**15)
    small = what_it_trains([trial("8m", 10**9)], dtype="bfloat16", available_bytes=10**9)
    assert small["budgets"][-1]["parameters"] < large["budgets"][-1]["parameters"]


def test_the_assumption_behind_an_estimate_is_stated() -> None:
    found = what_it_trains([trial("8m", 10_000)], dtype="float32", available_bytes=10**12)
    text = " ".join(found["assumptions"])
    for words in ("8m 30%", "float32", "scaling law", "measured"):
        assert words in text


def test_instruction_sets_are_told_by_the_names_people_know() -> None:
    found = instructions(frozenset({"avx2", "avx_vnni", "amx_tile", "sse2"}))
    assert found == {
        "avx2": True,
        "avx512f": False,
        "avx512_bf16": False,
        "amx": True,
        "vnni": True,
    }


def test_what_will_get_in_the_way_is_said() -> None:
    slow = MachineSpeed(100.0, 3.0, 5.0, 1)
    found = " ".join(
        warnings({"available_bytes": 10**9}, {"free_bytes": 10**9}, cores=1, speed=slow)
    )
    for words in ("GB of memory", "GB of disk", "one core", "float32"):
        assert words in found


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_the_findings_fit_the_terminal_and_the_json_holds_them_all(
    width: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from homespun import recipes

    found = {
        "format": 1,
        "machine": {
            "processor": "Abacus 9000 with a rather long name",
            "cores": 2,
            "threads": 2,
            "instructions": {"avx2": True, "amx": False},
        },
        "memory": {"total_bytes": 16e9, "available_bytes": 8e9},
        "disk": {"path": "/", "free_bytes": 1e12, "total_bytes": 2e12},
        "versions": {"python": "3.11", "torch": "2.8"},
        "speed": {"gemm_fp32_gflops": 191.9, "gemm_bf16_gflops": 799.1, "memory_read_gbs": 40.0},
        "training": what_it_trains([trial("8m", 1e4)], dtype="float32", available_bytes=10**12),
        "warnings": ["other programs are at work"],
    }
    monkeypatch.setattr(recipes, "doctor", lambda **_: found, raising=False)
    monkeypatch.setenv("COLUMNS", width)
    file = tmp_path / "doctor.json"
    assert command(["doctor", "--json", str(file)]) == 0
    told = capsys.readouterr().out
    table, _, sentences = told.partition("- training reaches")
    assert max(map(len, table.splitlines())) <= int(width)
    assert "other programs" in sentences
    for words in ("GFLOP/s", "GB/s", "avx2", "10"):
        assert words in table
    assert json.loads(file.read_text())["speed"]["memory_read_gbs"] == 40.0
