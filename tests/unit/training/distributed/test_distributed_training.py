"""Several processes train as one does: same losses, same files, whatever their number."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file

from homespun.core.files import read_json
from homespun.training import load_weights

sys.path.insert(0, str(Path(__file__).parent))
import workers

CLOSE = 1e-5
PRELOADED = [
    "homespun.classic",
    "homespun.models",
    "homespun.training",
    "torch.distributed.fsdp",
]
SINGLE: dict[str, dict[str, Any]] = {
    "adamw": {"kind": "adamw"},
    "muon": {"kind": "muon"},
    "micro": {"micro": 2},
    "bf16": {"dtype": "bfloat16"},
    "table": {"table": True},
    "best": {"best": True},
    "odd": {"odd": True},
    "ema": {"ema": True},
    "measured": {"objective": workers.Measured()},
    "looked": {"health": workers.CURIOUS},
}
EXACT = [
    "step",
    "left_out",
    "tokens",
    "skipped",
    "skipped_in_a_row",
    "large_gradients",
    "anchor_step",
    "best_step",
    "best_progress",
    "looks_since",
    "rewinds",
    "progress",
    "evaluated_step",
]
"""Of the loop's state; the rest are sums, clocks, and what may differ on purpose."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which single processes, pairs and triples have all trained."""
    folder = tmp_path_factory.mktemp("distributed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, settings in SINGLE.items():
            workers.run(folder / f"one-{name}", **settings)
        for name in ("one-to-ddp", "one-to-fsdp", "one-to-fsdp-3"):
            workers.run_half(folder / name)
        for name in ("ema-one-to-ddp", "ema-one-to-fsdp"):
            workers.run_half(folder / name, ema=True)
        # Forked from a server that has everything loaded, once instead of three times.
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
        context = mp.start_processes(
            workers.work, (folder,), nprocs=3, join=False, start_method="forkserver"
        )
        try:
            # One that has ended makes `join` return, too.
            until = time.monotonic() + 240
            while not context.join(timeout=10):
                assert time.monotonic() < until, "the processes wait for each other"
        finally:
            for process in context.processes:
                process.kill()
        for name in ("ddp-to-one", "fsdp-to-one"):
            workers.run(folder / name)
        for name in ("ddp-ema-to-one", "fsdp-ema-to-one"):
            workers.run(folder / name, ema=True)
    finally:
        torch.set_num_threads(threads)
    return folder


def agree(one: Path, many: Path) -> None:
    """Rows and final tensors of `many` are those of `one`."""
    for kind in ("train", "eval"):
        expected, got = workers.rows(one, kind), workers.rows(many, kind)
        assert [row["step"] for row in got] == [row["step"] for row in expected]
        assert [row["tokens"] for row in got] == [row["tokens"] for row in expected]
        losses = [row["loss"] for row in got]
        tolerance = CLOSE if kind == "train" else 100 * CLOSE  # sums of a hundred targets
        assert losses == pytest.approx([row["loss"] for row in expected], abs=tolerance)
    last = Path("checkpoints") / f"step-{workers.STEPS:08d}"
    for name in ("weights", "optimizer"):
        first, second = (load_file(stage / last / f"{name}.safetensors") for stage in (one, many))
        assert list(first) == list(second)
        for key in first:
            torch.testing.assert_close(first[key], second[key], rtol=2e-3, atol=2e-4)
    states = [read_json(stage / last / "state.json") for stage in (one, many)]
    expected, got = ({name: state[name] for name in EXACT} for state in states)
    assert got == expected
    for name in ("losses", "grad_norms"):
        assert len(states[0][name]) > 0
        assert states[1][name] == pytest.approx(states[0][name], rel=2e-3, abs=CLOSE)


def test_the_text_is_learnt(done: Path) -> None:
    losses = [row["loss"] for row in workers.rows(done / "one-muon")]
    assert losses[-1] < losses[0] - 0.5, "otherwise equal losses would say little"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("kind", "num_processes"), [("adamw", 2), ("muon", 2), ("muon", 3)])
def test_losses_are_those_of_one_process(
    done: Path, strategy: str, kind: str, num_processes: int
) -> None:
    agree(done / f"one-{kind}", done / f"{strategy}-{kind}-{num_processes}")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_gradients_of_micro_batches_add_up(done: Path, strategy: str) -> None:
    # With "fsdp" activations are computed again on the way back as well.
    agree(done / "one-micro", done / f"{strategy}-micro-2")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_gradients_of_parts_of_uneven_shares_add_up(done: Path, strategy: str) -> None:
    # Of seven rows one process has three and the other four; of four parts asked for both make
    # three, since sharded weights are gathered for each part.
    agree(done / "one-muon", done / f"{strategy}-parts-2")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_rows_keep_the_table_without_their_block(done: Path, strategy: str) -> None:
    agree(done / "one-table", done / f"{strategy}-table-2")
    first = [workers.rows(done / f"one-{name}")[0]["loss"] for name in ("table", "muon")]
    assert first[0] < first[1] - 0.5, "the table is not used"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_what_has_no_gradient_stays_as_it_is(done: Path, strategy: str) -> None:
    agree(done / "one-odd", done / f"{strategy}-odd-2")
    last = Path("checkpoints") / f"step-{workers.STEPS:08d}" / "weights.safetensors"
    weights = load_file(done / f"{strategy}-odd-2" / last)
    for name, before in workers.model(odd=True).named_parameters():
        is_idle = not before.requires_grad or name.endswith("unused")
        assert torch.equal(weights[name], before.detach()) == is_idle, name


@pytest.mark.parametrize(
    "name",
    ["ddp-to-one", "fsdp-to-one", "one-to-ddp", "one-to-fsdp", "fsdp-to-three", "one-to-fsdp-3"],
)
def test_another_number_of_processes_goes_on(done: Path, name: str) -> None:
    agree(done / "one-muon", done / name)
    assert read_json(done / name / "done.json")["checkpoint"] == "step-00000008"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_best_weights_are_kept(done: Path, strategy: str) -> None:
    one, many = done / "one-best", done / f"{strategy}-best-2"
    agree(one, many)
    for stage in (one, many):
        assert read_json(stage / "done.json")["checkpoint"] == "step-00000003"
        assert read_json(stage / "done.json")["result"]["weights"]["is_complete"]


def test_block_weights_that_travel_in_bfloat16_train_as_well(done: Path) -> None:
    one, many = (workers.rows(done / name) for name in ("one-bf16", "fsdp-bf16-2"))
    assert [row["loss"] for row in many] == pytest.approx([row["loss"] for row in one], abs=0.03)
    last = done / "fsdp-bf16-2" / "checkpoints" / f"step-{workers.STEPS:08d}"
    tensors = load_file(last / "weights.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_leader_looks_inside_of_the_model(done: Path, strategy: str) -> None:
    agree(done / "one-muon", done / f"{strategy}-looked-2")
    found = {
        row["finding"]: row["value"]
        for row in workers.rows(done / f"{strategy}-looked-2", "health")
    }
    assert found["attention_growth"] == pytest.approx(
        {row["finding"]: row["value"] for row in workers.rows(done / "one-looked", "health")}[
            "attention_growth"
        ],
        rel=1e-3,
    )


@pytest.mark.parametrize(
    "name",
    [
        "ddp-ema-2",
        "fsdp-ema-2",
        "ddp-ema-to-one",
        "fsdp-ema-to-one",
        "ema-one-to-ddp",
        "ema-one-to-fsdp",
    ],
)
def test_the_average_is_that_of_one_process(done: Path, name: str) -> None:
    agree(done / "one-ema", done / name)  # the average is among what is compared
    expected, got = (load_weights(done / stage) for stage in ("one-ema", name))
    last = load_file(
        done / name / "checkpoints" / f"step-{workers.STEPS:08d}" / "weights.safetensors"
    )
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=2e-3, atol=2e-4)
    assert any(not torch.equal(got[key], last[key]) for key in last)


@pytest.mark.parametrize("when", ["forwards", "backwards"])
def test_all_cut_their_rows_where_one_is_short_of_memory(done: Path, when: str) -> None:
    stage = done / f"ddp-hungry-{when}"
    agree(done / "one-muon", stage)
    (told,) = [row for row in workers.rows(stage, "health") if row["finding"] == "smaller_batches"]
    assert (told["step"], told["value"]) == (1, 2.0)


def test_where_weights_are_sharded_all_cut_their_rows_when_they_are_started_again(
    done: Path,
) -> None:
    told = [read_json(done / f"told-hungry-{rank}.json")["error"] for rank in range(2)]
    (sentence,) = (text for text in told if text)
    assert "has not enough memory for a step; run again" in sentence
    assert "a step's rows in 2 parts" in sentence
    stage = done / "fsdp-hungry"
    agree(done / "one-muon", stage)
    (cut,) = [row for row in workers.rows(stage, "health") if row["finding"] == "smaller_batches"]
    assert (cut["step"], cut["value"]) == (1, 2.0)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_numbers_beside_the_loss_are_of_all_targets(done: Path, strategy: str) -> None:
    one, many = (
        [row["even"] for row in workers.rows(done / name)]
        for name in ("one-measured", f"{strategy}-measured-2")
    )
    assert many == pytest.approx(one)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_all_skip_a_step_that_is_not_finite_for_one(done: Path, strategy: str) -> None:
    rows = workers.rows(done / f"{strategy}-poisoned")
    assert [row["step"] for row in rows if row["skipped"]] == [3]
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_all_measure_the_speed_of_all(done: Path, strategy: str) -> None:
    first, second = (read_json(done / f"speed-{strategy}-{rank}.json") for rank in range(2))
    assert first == second > 0


def test_a_failure_is_told_once(done: Path) -> None:
    for name, culprit, sentence in (
        ("follower", 1, "the second process fell; pick it up"),
        ("leader", 0, "no space left; free some disk"),
    ):
        told = [read_json(done / f"told-{name}-{rank}.json") for rank in range(2)]
        assert told[culprit]["error"] == sentence
        assert told[culprit]["notes"] == [f"first to fail was process {culprit} of 2"]
        assert told[1 - culprit] == {"error": "", "notes": [], "code": 1, "group": False}


def test_all_processes_end_well(done: Path) -> None:
    for name, size in (("two", 2), ("three", 3), ("fed", 2)):
        for rank in range(size):
            told = read_json(done / f"told-{name}-{rank}.json")
            assert told == {"error": "", "notes": [], "code": 0, "group": False}


def test_a_failed_save_leaves_nothing(done: Path) -> None:
    assert not list((done / "leader-fails" / "checkpoints").glob("step-*"))
