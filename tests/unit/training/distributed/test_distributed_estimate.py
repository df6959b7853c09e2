"""The arithmetic of docs/design/distributed.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from homespun.core.processes import Place
from homespun.models import DecoderConfig, count_parameters
from homespun.training import OptimizerConfig, build_optimizer
from homespun.training.distributed import World
from homespun.training.distributed.estimate import (
    Gpu,
    estimate,
    orthogonal_flops,
    paper_models,
    paper_table,
)
from homespun.training.distributed.shards import Shards

PAGE = Path(__file__).resolve().parents[4] / "docs" / "design" / "distributed.md"


def test_the_pages_table_is_what_is_computed() -> None:
    assert paper_table() in PAGE.read_text(encoding="utf-8")


def test_models_are_of_the_size_they_are_named_after() -> None:
    sizes = {name: count_parameters(config) / 1e9 for name, config in paper_models().items()}
    # Llama 2, arXiv 2307.09288; TinyLlama, arXiv 2401.02385.
    assert sizes == pytest.approx({"1B": 1.10, "7B": 6.74, "13B": 13.02, "70B": 68.98}, abs=0.01)


def test_bytes_of_one_gpu_are_those_of_the_real_optimiser() -> None:
    config = DecoderConfig(
        vocab_size=64,
        num_layers=2,
        width=32,
        num_heads=2,
        num_kv_heads=1,
        head_width=16,
        mlp_width=48,
        context=32,
        tied=False,
        qk_norm=False,
    )
    model = config.build(torch.Generator().manual_seed(0))
    state = build_optimizer(model, OptimizerConfig(kind="muon")).state_tensors()
    kept = sum(tensor.nbytes for name, tensor in state.items() if not name.endswith(".count"))
    alone = estimate(config, num_gpus=1, rows=1)
    assert alone.optimizer == kept
    assert alone.weights == sum(4 * p.numel() for p in model.parameters())
    assert alone.exchange == 0


@pytest.mark.filterwarnings("ignore")  # the pretended group is a private part of PyTorch
def test_bytes_of_a_shard_are_those_of_a_real_one() -> None:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    # Everything divides by 8, and so does the number of matrices of each shape.
    config = DecoderConfig(
        vocab_size=64,
        num_layers=8,
        width=32,
        num_heads=4,
        num_kv_heads=2,
        head_width=8,
        mlp_width=48,
        context=32,
        tied=False,
        qk_norm=False,
    )
    store = FakeStore()
    dist.init_process_group("fake", store=store, rank=3, world_size=8)
    try:
        world = World(Place(3, 8, 3, 8), store=store)
        shards = Shards(config.build(torch.Generator().manual_seed(0)), world)
        optimizer = shards.optimizer(OptimizerConfig(kind="muon"), torch.float32)
        held = sum(tensor.nbytes for tensor in shards.layout.local.values())
        kept = sum(tensor.nbytes for tensor in optimizer.held() if tensor.ndim)
    finally:
        dist.destroy_process_group()
    paper = estimate(config, num_gpus=8, rows=1)
    assert held == paper.weights
    assert kept == paper.optimizer


def test_rings_over_machines_are_slower_than_within() -> None:
    gpu = Gpu()
    assert gpu.bus(8) == 450e9
    assert gpu.bus(16) == 400e9
    assert Gpu(far=5e9).bus(16) == 40e9


def test_shards_shrink_and_owners_share() -> None:
    config = paper_models()["7B"]
    few, many = (estimate(config, num_gpus=num, rows=1) for num in (8, 64))
    assert few.weights == pytest.approx(8 * many.weights)
    assert few.gathered == many.gathered
    assert many.tokens_per_second > 7 * few.tokens_per_second
    # One matrix of the largest kind: 5 (4·4096²·11008 + 2·4096³).
    assert orthogonal_flops(config, 10_000) == 5 * (4 * 4096**2 * 11_008 + 2 * 4096**3)
    assert orthogonal_flops(config, 1) >= 8 * orthogonal_flops(config, 8) * 0.99
