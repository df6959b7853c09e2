"""What watching costs: the seconds spent in the checks of health, as a share of training.

    python benchmarks/health_overhead.py --size 1m --steps 200

Exit code 1 where it is 1% or more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
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
    Watch,
    set_threads,
    train,
)
from homespun.training.health import Monitor

LIMIT = 0.01


def timed(work: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    """`work`, adding to `spent` under its name."""

    def run(*arguments: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*arguments, **more)
        finally:
            name = work.__name__
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

    return run


def measure(folder: Path, *, size: str, num_steps: int, rows: int) -> dict[str, Any]:
    config = decoder_size(size)
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, config.vocab_size, 2_000_000).astype(np.uint16)
    spent: dict[str, float] = {}
    for name in ("before", "before_step", "after_step", "after_evaluation"):
        setattr(Monitor, name, timed(getattr(Monitor, name), spent))
    result = train(
        config.build(torch.Generator().manual_seed(0)),
        CausalObjective(),
        TokenBatches(tokens[:-100_000], context=config.context, rows=rows, seed=0),
        config=TrainConfig(
            num_steps=num_steps, optimizer=OptimizerConfig(kind="muon"), tensorboard=False
        ),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        watch=Watch(expected=lambda tokens, progress: (1.0, 20.0), held_out=tokens[-100_000:]),
    )
    steps = sum(seconds for name, seconds in spent.items() if name != "before")
    return {
        "size": size,
        "steps": num_steps,
        "seconds": result.seconds,
        "seconds_before_the_first_step": spent["before"],
        "seconds_in_steps": steps,
        "share_of_steps": steps / result.seconds,
        "limit": LIMIT,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="1m")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    set_threads(asked.threads)
    first = print_heading()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), size=asked.size, num_steps=asked.steps, rows=asked.rows)
    print(json.dumps(report, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps({**first, **report}, indent=2) + "\n")
    return 0 if report["share_of_steps"] < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
