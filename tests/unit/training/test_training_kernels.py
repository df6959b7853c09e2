"""Stages that train with compiled kernels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.core import ConfigError, WorkClock
from homespun.core import compile as compiling
from homespun.models import Decoder, DecoderConfig
from homespun.models.native import load_kernels
from homespun.training import CausalObjective, TokenBatches, TrainConfig, train
from homespun.training.checkpoint import load_weights

SHAPE = DecoderConfig(
    vocab_size=50,
    num_layers=1,
    width=32,
    num_heads=2,
    num_kv_heads=2,
    head_width=16,
    mlp_width=64,
    context=70,
)


class StopError(Exception):
    pass


class StopAt:
    """A hook that ends the process the hard way: nothing after it runs."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        if step == self.step:
            raise StopError


def run(folder: Path, kernels: str, stop: int = -1) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    tokens = np.random.default_rng(0).integers(0, 50, 3000).astype(np.uint16)
    model: Decoder = SHAPE.build(torch.Generator().manual_seed(0))
    train(
        model,
        CausalObjective(),
        TokenBatches(tokens, context=64, rows=3, seed=0),
        config=TrainConfig.model_validate(
            {
                "num_steps": 8,
                "checkpoint_steps": 3,
                "checkpoint_seconds": None,
                "tensorboard": False,
                "kernels": kernels,
            }
        ),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        hooks=[StopAt(stop)],
    )
    return load_weights(folder / "pretrain")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled kernels are kept in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_stage_cut_short_ends_as_one_that_was_not_and_near_what_torch_computes(
    tmp_path: Path,
) -> None:
    try:
        load_kernels()
    except ConfigError as error:
        pytest.skip(str(error))
    straight = run(tmp_path / "straight", "native")
    with pytest.raises(StopError):
        run(tmp_path / "broken", "native", stop=5)
    broken, plain = run(tmp_path / "broken", "native"), run(tmp_path / "plain", "torch")
    assert all(torch.equal(straight[name], broken[name]) for name in straight)
    assert not all(torch.equal(straight[name], plain[name]) for name in straight)
    losses = {
        name: json.loads(
            (tmp_path / name / "pretrain" / "metrics.jsonl").read_text().splitlines()[-1]
        )
        for name in ("straight", "plain")
    }
    assert losses["straight"]["loss"] == pytest.approx(losses["plain"]["loss"], abs=1e-4)
    with pytest.raises(ConfigError, match="kernels"):  # what a stage computes with is its setting
        run(tmp_path / "straight", "torch")


def test_a_stage_that_wants_them_does_not_quietly_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(ConfigError, match="install gcc"):
        run(tmp_path / "run", "native")
