"""What checkpoints cost: the same steps with a save every so many, and without, in turn.

    python benchmarks/save_overhead.py --size 8m --json save.json

Prints two figures for a save each minute: the time training waited for it, as the loop counts it,
and the difference of the two durations, which also holds what the writing thread takes away.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heading import print_heading

from homespun.core import WorkClock
from homespun.models import decoder_size
from homespun.training import (
    CausalObjective,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    set_threads,
    train,
)
from homespun.training.health import SpikeConfig

LIMIT = 0.03


def train_for(folder: Path, *, size: str, num_steps: int, every: int | None) -> dict[str, Any]:
    """Seconds of `num_steps` steps that save every `every` of them, the last save left out."""
    config = decoder_size(size)
    model = config.build(torch.Generator().manual_seed(0))
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, 500_000).astype(np.uint16)
    times: list[float] = []

    class Watch:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            times.append(time.perf_counter())

    result = train(
        model,
        CausalObjective(),
        TokenBatches(tokens, context=config.context, rows=8, seed=0),
        config=TrainConfig(
            num_steps=num_steps,
            optimizer=OptimizerConfig(kind="muon"),
            checkpoint_steps=every,
            checkpoint_seconds=None,
            spikes=SpikeConfig(rewind_steps=10**6),
            tensorboard=False,
        ),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        hooks=[Watch()],
    )
    saves = (num_steps - 2) // every if every else 0
    return {
        "seconds": times[-1] - times[0],
        "waited": result.saving_seconds,
        "saves": saves,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def measure(folder: Path, *, size: str, num_steps: int, every: int, rounds: int) -> dict[str, Any]:
    """Saves and none in turn."""
    with_saves, without = [], []
    for number in range(rounds):
        for kind, runs in ((every, with_saves), (None, without)):
            place = folder / f"{number}-{kind}"
            place.mkdir(parents=True)
            runs.append(train_for(place, size=size, num_steps=num_steps, every=kind))
            print(json.dumps(runs[-1]), flush=True)
    saves = with_saves[0]["saves"]
    # The save before the first step and the one at the end count as two more.
    waited = statistics.median(run["waited"] / (saves + 2) for run in with_saves)
    more = statistics.median(run["seconds"] for run in with_saves) - statistics.median(
        run["seconds"] for run in without
    )
    return {
        "size": size,
        "parameters": with_saves[0]["parameters"],
        "seconds_waited_a_save": waited,
        "seconds_more_a_save": more / saves,
        "share_waited_at_one_a_minute": waited / 60,
        "share_more_at_one_a_minute": more / saves / 60,
        "limit": LIMIT,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="4m")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    set_threads(asked.threads)
    first = print_heading()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(
            Path(folder),
            size=asked.size,
            num_steps=asked.steps,
            every=asked.every,
            rounds=asked.rounds,
        )
    print(json.dumps(report, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps({**first, **report}, indent=2) + "\n")
    return 0 if report["share_waited_at_one_a_minute"] < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
