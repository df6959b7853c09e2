"""The parts of distributed training that need no other process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from safetensors.torch import save_file as save_whole
from torch import nn

from homespun.core import CheckpointError, ConfigError
from homespun.core.processes import Place, process_place
from homespun.models import DecoderConfig, attention
from homespun.models.native import active
from homespun.training import CausalObjective, TokenBatches
from homespun.training.distributed import (
    ParallelConfig,
    World,
    check_compile,
    joined_world,
    spread,
)
from homespun.training.distributed.blocks import checkpoint_blocks, compile_blocks, repeated_blocks
from homespun.training.distributed.launch import choose_device, threads_per_process
from homespun.training.distributed.layout import choose_owners, rows_of
from homespun.training.distributed.replicas import in_buckets, share_rows
from homespun.training.distributed.tensors import Gathered, save_file
from homespun.training.distributed.whole import check_fits

CONFIG = DecoderConfig(
    vocab_size=31,
    num_layers=2,
    width=16,
    num_heads=2,
    num_kv_heads=1,
    head_width=8,
    mlp_width=24,
    context=12,
)


def world(rank: int, size: int) -> World:
    """Process `rank` of so many, with nobody to talk to."""
    store = dist.HashStore()
    return World(Place(rank, size, rank, size), store=store)


def test_the_place_is_read_from_what_torchrun_sets() -> None:
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert process_place(told) == Place(5, 8, 1, 4)
    assert not process_place(told).is_leader
    assert process_place({}) == Place(0, 1, 0, 1)
    assert process_place({"RANK": "3", "WORLD_SIZE": "8"}) == Place(), "set by a scheduler"


@pytest.mark.parametrize("wrong", [{"RANK": "8"}, {"RANK": "x"}, {"LOCAL_RANK": "4"}])
def test_an_impossible_place_is_refused(wrong: dict[str, str]) -> None:
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", **wrong}
    with pytest.raises(ConfigError, match="no place among several processes"):
        process_place(told)


def test_a_single_process_forms_no_group() -> None:
    with joined_world(Place()) as alone:
        assert not dist.is_initialized()
        assert alone.size == 1
        assert alone.is_leader
        assert alone.lead(lambda: 3) == 3
        assert alone.total([1.5]) == alone.highest([1.5]) == alone.from_leader([1.5]) == [1.5]


def test_each_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device(Place(3, 4, 3, 4)) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(Place(3, 4, 1, 2)) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"2 GPUs .*--nproc-per-node=2"):
        choose_device(Place(3, 4, 3, 4))


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.training.distributed.launch.num_cores", lambda: 8)
    assert threads_per_process(Place(0, 6, 0, 3)) == 2
    assert threads_per_process(Place(0, 9, 0, 9)) == 1


@given(num_rows=st.integers(1, 40), size=st.integers(1, 9))
def test_shares_are_all_rows_once(num_rows: int, size: int) -> None:
    batch = TokenBatches(np.arange(200) % 31, context=12, rows=num_rows, seed=1).batch(0)
    worlds = [world(rank, size) for rank in range(size)]
    if num_rows < size:
        with pytest.raises(ConfigError, match=f"--nproc-per-node={num_rows}"):
            share_rows(batch, worlds[0])
        return
    shares = [share_rows(batch, each) for each in worlds]
    assert torch.equal(torch.cat([share.ids_BT for share in shares]), batch.ids_BT)
    assert torch.equal(torch.cat([share.targets_BT for share in shares]), batch.targets_BT)
    assert sum(share.num_tokens for share in shares) == batch.num_tokens
    sizes = [share.num_rows for share in shares]
    assert max(sizes) - min(sizes) <= 1


@given(num_rows=st.integers(1, 50), size=st.integers(1, 9))
def test_rows_are_dealt_as_torch_chunks_them(num_rows: int, size: int) -> None:
    chunks = torch.arange(num_rows).chunk(size)
    for rank in range(size):
        expected = chunks[rank].tolist() if rank < len(chunks) else []
        assert list(range(num_rows))[rows_of(num_rows, world(rank, size))] == expected


@given(
    shapes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=20),
    size=st.integers(1, 6),
)
def test_owners_share_the_work(shapes: list[tuple[int, int]], size: int) -> None:
    matrices = {f"m{i}": shape for i, shape in enumerate(shapes)}
    owners = choose_owners(matrices, size)
    assert owners.keys() == matrices.keys()
    cost = {name: r * c * min(r, c) for name, (r, c) in matrices.items()}
    work = [sum(cost[n] for n in matrices if owners[n] == rank) for rank in range(size)]
    # Whoever has most got its last matrix when it had least: no more than the average.
    smallest_of_busiest = min(
        (cost[n] for n in matrices if work[owners[n]] == max(work)), default=0
    )
    assert max(work) - smallest_of_busiest <= sum(work) / size + 1e-9


def test_buckets_hold_everything_in_order() -> None:
    tensors = [torch.empty(n) for n in (3, 4, 100, 1, 1)]
    buckets = in_buckets(tensors, 40)
    assert [[len(t) for t in bucket] for bucket in buckets] == [[3, 4], [100], [1, 1]]


def test_a_streamed_file_is_the_librarys_to_the_byte(tmp_path: Path) -> None:
    tensors = {
        "weight": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
        "a.count": torch.tensor(3.0),
        "表": torch.arange(4),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.empty(0, 3),
    }
    gathered = Gathered(
        {name: tuple(t.shape) for name, t in tensors.items()},
        {name: t.dtype for name, t in tensors.items()},
        tensors.__getitem__,
    )
    save_file(gathered, tmp_path / "streamed")
    save_whole(tensors, tmp_path / "whole")
    assert (tmp_path / "streamed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert load_file(tmp_path / "streamed").keys() == tensors.keys()


def test_gathered_tensors_are_drained_once() -> None:
    asked: list[str] = []

    def gather(name: str) -> torch.Tensor:
        asked.append(name)
        return torch.zeros(1)

    gathered = Gathered(dict.fromkeys("abc", (1,)), dict.fromkeys("abc", torch.float32), gather)
    assert gathered["a"].shape == (1,)
    gathered.drain()
    gathered.drain()
    assert asked == ["a", "b", "c"]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"does not fit the model at b .*got \(3,\)"):
        check_fits({"a": torch.zeros(2), "b": torch.zeros(3)}, {"a": (2,), "b": (4,)}, where="x")
    with pytest.raises(CheckpointError, match=r"at b .*got None"):
        check_fits({"a": torch.zeros(2)}, {"a": (2,), "b": (4,)}, where="x")


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    batch = TokenBatches(np.arange(200) % 31, context=12, rows=4, seed=1).batch(0)
    CausalObjective().loss(model, batch).loss_sum.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_checkpointed_activations_change_nothing() -> None:
    plain, again = (CONFIG.build(torch.Generator().manual_seed(0)) for _ in range(2))
    checkpoint_blocks(repeated_blocks(again))
    calls = 0

    def count(module: nn.Module, args: object) -> None:
        nonlocal calls
        calls += 1

    again.blocks[0].mlp.register_forward_pre_hook(count)
    expected, got = gradients(plain), gradients(again)
    assert calls == 2, "once forwards, once on the way back"
    assert expected.keys() == got.keys() == dict(again.named_parameters()).keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_the_layers_are_the_blocks() -> None:
    model = CONFIG.build(torch.Generator().manual_seed(0))
    assert repeated_blocks(model) == list(model.blocks)
    nested = nn.Sequential(nn.ModuleList([nn.ModuleList([nn.Linear(2, 2)])]))
    assert repeated_blocks(nested) == [nested[0][0]]


@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_compute_the_same() -> None:
    plain, compiled = (CONFIG.build(torch.Generator().manual_seed(0)) for _ in range(2))
    compile_blocks(repeated_blocks(compiled), backend="eager")
    expected, got = gradients(plain), gradients(compiled)
    assert expected.keys() == got.keys()
    for name in expected:
        torch.testing.assert_close(expected[name], got[name])


@pytest.mark.filterwarnings("ignore")
def test_where_there_are_no_kernels_all_layers_are_one_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU: a break in a layer, or a graph for each layer, would cost what is gained."""
    monkeypatch.setattr(active, "kernels_on", lambda device: None)
    monkeypatch.setattr(attention, "LONGEST_BLOCKWISE", 0)  # so heads are torch's, as there
    graphs = []

    def trace(graph: torch.fx.GraphModule, inputs: Sequence[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    model = CONFIG.model_copy(update={"num_layers": 9}).build(torch.Generator().manual_seed(0))
    torch.compiler.reset()
    compile_blocks(repeated_blocks(model), backend=trace)
    gradients(model)
    assert len(graphs) == 1


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = ParallelConfig(compile=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    for config, device in ((None, "cpu"), (ParallelConfig(), "cpu"), (traced, "cuda")):
        check_compile(config, kernels="torch", device=device)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler \(got no no-such-compiler\); install"):
        check_compile(traced, kernels="torch", device="cpu")
    monkeypatch.setenv("CXX", sys.executable)
    check_compile(traced, kernels="torch", device="cpu")


def test_unknown_strategies_are_refused() -> None:
    with pytest.raises(ValueError, match="strategy"):
        ParallelConfig(strategy="magic")


def test_alone_the_model_stays_where_and_what_it_is() -> None:
    model = CONFIG.build(torch.Generator().manual_seed(0))
    before = list(model.parameters())
    lone = spread(model, None, ParallelConfig(strategy="fsdp"))
    assert not lone.is_lockstep
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    batch = TokenBatches(np.arange(200) % 31, context=12, rows=4, seed=1).batch(0)
    assert lone.share(batch) is batch
