"""One process or many, a GPU or none: where models are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch.distributed import HashStore

from homespun.core import ConfigError, RunDirectory, Silent, WorkClock
from homespun.core.processes import Place
from homespun.models import DecoderConfig, decoder_size
from homespun.recipes import (
    chat_stage,
    continue_run,
    grow_run,
    measure,
    plan_stage,
    pretrain_stage,
    spin,
    together,
)
from homespun.recipes.run import answering_dtype, chosen_device
from homespun.training.distributed import World

T = TypeVar("T")


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


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("tensor", "strategy in the settings for several processes"),
        ("ddp+compile", "does not go with the compiled kernels that train here"),
    ],
)
def test_a_strategy_that_is_none_here_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, told: str
) -> None:
    monkeypatch.setattr(measure, "best_kernels", lambda: measure.KernelChoice("native", ""))
    text, run = tmp_path / "text.txt", tmp_path / "none"
    text.write_text("The fox ran over the hill. " * 200)
    commands: list[Callable[[], Any]] = [
        lambda: spin(text, steps=2, runs=tmp_path / "runs", strategy=strategy),
        lambda: plan_stage(run, steps=1, strategy=strategy),
        lambda: pretrain_stage(run, steps=1, strategy=strategy),
        lambda: chat_stage(run, steps=1, strategy=strategy),
        lambda: continue_run(run, text, steps=1, strategy=strategy),
        lambda: grow_run(run, layers=3, steps=1, strategy=strategy),
    ]
    for command in commands:
        with pytest.raises(ConfigError, match=told):
            command()
    assert not (tmp_path / "runs").exists()


class Told(World):
    """The leader of two, who writes down what it would tell the other."""

    def __init__(self) -> None:
        super().__init__(Place(0, 2, 0, 2), store=HashStore())
        self.told: list[Any] = []

    def lead(self, work: Callable[[], T]) -> T:
        self.told.append(work())
        said: T = self.told[-1]
        return said


def test_a_plan_counts_on_what_all_processes_do_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def speed(config: DecoderConfig, **more: Any) -> float:
        asked.append(more)
        return 150.0 if more.get("helpers") else 100.0

    monkeypatch.setattr(measure, "tokens_per_second", speed)
    shape = decoder_size("0.2m", vocab_size=300, context=64)
    world = Told()
    helpers = together.Helpers(world, "ddp+accumulate2")
    load = measure.StepLoad(rows=1)
    said: list[str] = []
    progress = Silent()
    monkeypatch.setattr(progress, "say", said.append)
    share = measure.share_together(
        tmp_path, shape, load, seconds=4.0, helpers=helpers, progress=progress
    )
    assert share == 1.5
    assert said[0].startswith("2 processes train 1.50 times as fast as one")
    ((alone, all_of_them), (called,)) = asked, world.told
    assert alone["rows"] == all_of_them["rows"] == 2, "a row for each"
    assert (alone["parts"], all_of_them["parts"]) == (1, 2)
    # The other is told to do the very same.
    assert called["job"] == "measure"
    arguments = called["arguments"]
    assert (arguments.pop("strategy"), arguments.pop("run")) == ("ddp+accumulate2", str(tmp_path))
    measure.help_measuring(
        RunDirectory(tmp_path),
        clock=WorkClock(tmp_path / "clock.json"),
        helpers=helpers,
        **arguments,
    )
    assert asked[2] == all_of_them
    (timed,) = measure.measure_shapes(
        [shape], lambda shape: load, seconds=1.0, share=share, progress=Silent()
    )
    assert timed.tokens_per_second == 150.0


def test_one_process_alone_measures_nothing_together(tmp_path: Path) -> None:
    shape = decoder_size("0.2m", vocab_size=300, context=64)
    share = measure.share_together(
        tmp_path,
        shape,
        measure.StepLoad(1),
        seconds=4.0,
        helpers=together.ALONE,
        progress=Silent(),
    )
    assert share == 1.0


def test_a_device_is_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_device("auto").type == chosen_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="no GPU"):
        chosen_device("cuda")
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        chosen_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto").type == chosen_device("cuda").type == "cuda"


@pytest.mark.parametrize(("has_it", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_answers_in_what_it_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, has_it: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # Those before Ampere emulate it, many times slower than float32.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it)
    assert answering_dtype(torch.device("cuda")) == expected
    assert answering_dtype(torch.device("cpu")) == torch.float32
