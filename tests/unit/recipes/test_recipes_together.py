"""One process or many, a GPU or none: where models are trained."""

from __future__ import annotations

import pytest
import torch

from homespun.core import ConfigError
from homespun.recipes import together
from homespun.recipes.run import chosen_device
from homespun.training.distributed import World


def test_a_process_alone_trains_without_a_world_unless_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    def work(world: object) -> str:
        seen.append(world)
        return "done"

    assert together.led(work) == "done"
    assert seen == [None]
    assert together.training_device() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert together.training_device() == "cuda"
    assert together.led(work) == "done"
    world = seen[-1]
    assert isinstance(world, World)
    assert world.device.type == "cuda"
    assert (world.size, world.is_leader) == (1, True)
    assert world.lead(lambda: 5) == 5


def test_a_strategy_may_say_more() -> None:
    assert together.ALONE.parallel().strategy == "ddp"
    told = together.Helpers(strategy="fsdp+checkpoint+compile").parallel()
    assert (told.strategy, told.checkpoint_activations, told.compile) == ("fsdp", True, True)
    assert not together.Helpers(strategy="fsdp").parallel().checkpoint_activations
    assert together.Helpers(strategy="ddp+accumulate4").parallel().accumulate == 4
    for wrong in ("fsdp+chekpoint", "tensor", "ddp+accumulate", "ddp+accumulate0", "ddp+4"):
        with pytest.raises(ConfigError):
            together.Helpers(strategy=wrong).parallel()


def test_a_device_is_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_device("auto").type == chosen_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="no GPU"):
        chosen_device("cuda")
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        chosen_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto").type == chosen_device("cuda").type == "cuda"
