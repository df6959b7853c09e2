"""Do several processes train as one does? Measured on this machine, for `homespun bench`.

The same steps on the same text by one process and by several, in fp32, and stages that are begun by
some processes and ended by others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from homespun.core import Progress, WorkClock, derive_seed
from homespun.core.files import read_jsonl
from homespun.core.processes import Place
from homespun.models import Decoder, decoder_size
from homespun.training.config import TrainConfig
from homespun.training.data import TokenBatches
from homespun.training.distributed.build import ParallelConfig, Strategy
from homespun.training.distributed.launch import joined_world
from homespun.training.distributed.world import World
from homespun.training.loop import train
from homespun.training.objectives import CausalObjective
from homespun.training.optim import OptimizerConfig

VOCAB_SIZE, CONTEXT, ROWS = 512, 64, 8
KINDS: tuple[Literal["adamw", "muon"], ...] = ("adamw", "muon")
STRATEGIES: tuple[Strategy, ...] = ("ddp", "fsdp")
TOLERANCE = 1e-5


class _Stop(Exception):  # noqa: N818 - no error: half of the steps are done
    pass


class _StopAfter:
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        if step > self._step:
            raise _Stop


def measure_agreement(
    folder: Path, *, steps: int = 50, num_processes: int = 2, progress: Progress
) -> list[dict[str, Any]]:
    """Train in all ways; returns for each how far its losses are from those of one process.

    Args:
        folder: for the stages' files.
        steps: of each.
        num_processes: beside one.
        progress: told how far it is.

    Returns:
        rows with "optimizer", "strategy", "processes" (such as "2" or "2, then 1"),
        "largest_difference" of any step's loss, and "last_loss".
    """
    from torch.multiprocessing.spawn import spawn

    task = progress.task("training in every way", 3, "parts")
    many = str(num_processes)
    for kind in KINDS:
        _train(folder, f"{kind}-one", kind, steps)
    for strategy in STRATEGIES:
        _train(folder, f"muon-{strategy}-1-{many}", "muon", steps, stop_after=steps // 2)
    task.advance()
    spawn(_process, (folder, steps, num_processes), nprocs=num_processes)  # type: ignore[no-untyped-call]
    task.advance()
    for strategy in STRATEGIES:
        _train(folder, f"muon-{strategy}-{many}-1", "muon", steps)
    task.advance()
    task.finish()
    ways = [(kind, strategy, many) for kind in KINDS for strategy in STRATEGIES]
    for strategy in STRATEGIES:
        ways += [("muon", strategy, f"{many}-1"), ("muon", strategy, f"1-{many}")]
    return [_compare(folder, *way) for way in ways]


def _process(rank: int, folder: Path, steps: int, size: int) -> None:
    """What process `rank` of the several does."""
    from torch._C._distributed_c10d import FileStore

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = FileStore(str(folder / "store"), size)
    with joined_world(Place(rank, size, rank, size), store=store) as world:
        for strategy in STRATEGIES:
            for kind in KINDS:
                name = f"{kind}-{strategy}-{size}"
                _train(folder, name, kind, steps, world=world, strategy=strategy)
            half = steps // 2
            name = f"muon-{strategy}-{size}-1"
            _train(folder, name, "muon", steps, stop_after=half, world=world, strategy=strategy)
            name = f"muon-{strategy}-1-{size}"
            _train(folder, name, "muon", steps, world=world, strategy=strategy)


def _train(
    folder: Path,
    name: str,
    kind: Literal["adamw", "muon"],
    steps: int,
    *,
    stop_after: int | None = None,
    world: World | None = None,
    strategy: Strategy = "ddp",
) -> None:
    """Train the stage `name`, or go on with it."""
    rank = 0 if world is None else world.rank
    hooks = [] if stop_after is None else [_StopAfter(stop_after)]
    config = TrainConfig(
        num_steps=steps,
        optimizer=OptimizerConfig(kind=kind, learning_rate=3e-3, weight_decay=0.1),
        tensorboard=False,
        checkpoint_seconds=None,
        checkpoint_steps=stop_after or steps // 2,
    )
    try:
        train(
            _model(),
            CausalObjective(),
            _source(),
            config=config,
            stage_dir=folder / name,
            clock=WorkClock(folder / f"clock-{rank}.json"),
            hooks=hooks,
            world=world,
            parallel=ParallelConfig(strategy=strategy),
        )
    except _Stop:
        return


def _model() -> Decoder:
    config = decoder_size("0.2m", vocab_size=VOCAB_SIZE, context=CONTEXT)
    return config.build(torch.Generator().manual_seed(0))


def _source() -> TokenBatches:
    """Text in which each token is one of four that may follow the one before."""
    draw = np.random.Generator(np.random.PCG64(derive_seed(0, "agreement")))
    followers = draw.integers(0, VOCAB_SIZE, (VOCAB_SIZE, 4))
    tokens = [0]
    for choice in draw.integers(0, 4, 40_000).tolist():
        tokens.append(int(followers[tokens[-1], choice]))
    return TokenBatches(np.array(tokens), context=CONTEXT, rows=ROWS, seed=0)


def _compare(folder: Path, kind: str, strategy: str, processes: str) -> dict[str, Any]:
    one = _losses(folder / f"{kind}-one")
    many = _losses(folder / f"{kind}-{strategy}-{processes}")
    assert len(one) == len(many), f"{len(many)} steps instead of {len(one)}"
    return {
        "optimizer": kind,
        "strategy": strategy,
        "processes": processes.replace("-", ", then "),
        "largest_difference": max(abs(a - b) for a, b in zip(one, many, strict=True)),
        "last_loss": many[-1],
    }


def _losses(stage: Path) -> Sequence[float]:
    rows: Sequence[Mapping[str, Any]] = list(read_jsonl(stage / "metrics.jsonl"))
    return [row["loss"] for row in rows if row["kind"] == "train"]
