"""Poison some batches of a training, and compare its end with that of the clean one.

    python benchmarks/poison.py --json poison.json

A byte-level model learns the Python sources of the standard library; twenty of its batches are bad:
loss not a number, infinite or ten thousand times too large, random bytes, one byte repeated. Twelve
are spread over the run, eight stand in a row, so that it must go back. The validation losses at the
end must agree within 0.5% on the mean of the seeds, no checkpoint may hold a weight that is not
finite, and the clean runs, at three learning rates, must skip nothing. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heading import print_heading

from homespun.core import LossOutput, WorkClock
from homespun.models import DecoderConfig
from homespun.training import (
    Batch,
    CausalObjective,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    TrainResult,
    set_threads,
    train,
)
from homespun.training.checkpoint import load_checkpoint

CONTEXT, ROWS, BYTES = 64, 16, 3_000_000
FACTORS = {"nan": math.nan, "infinite": math.inf, "huge": 1e4}
KINDS = [*FACTORS, "random bytes", "one byte"]
LIMIT = 0.005


@dataclass(frozen=True)
class Marked:
    """A batch whose loss the objective is to spoil."""

    batch: Batch
    kind: str

    @property
    def num_tokens(self) -> int:
        return self.batch.num_tokens

    def to(self, device: torch.device) -> Marked:
        return Marked(self.batch.to(device), self.kind)


class PoisonedBatches:
    """A source some of whose batches are bad.

    Args:
        source: gives the good ones.
        bad: the kind of each bad one, by its number.
    """

    def __init__(self, source: TokenBatches, bad: dict[int, str]) -> None:
        self._source, self._bad = source, bad

    def batch(self, index: int) -> Any:
        batch = self._source.batch(index)
        kind = self._bad.get(index)
        if kind is None:
            return batch
        if kind in FACTORS:
            return Marked(batch, kind)
        if kind == "one byte":
            ids = np.full((ROWS, CONTEXT + 1), 32 + index % 90)
        else:
            ids = np.random.default_rng(index).integers(0, 256, (ROWS, CONTEXT + 1))
        tokens = torch.from_numpy(ids.astype(np.int64))
        return batch._replace(ids_BT=tokens[:, :-1], targets_BT=tokens[:, 1:].contiguous())

    def epochs(self, num_batches: int) -> float:
        return self._source.epochs(num_batches)

    def describe(self) -> dict[str, Any]:
        return {**self._source.describe(), "bad": len(self._bad)}


class PoisonedObjective(CausalObjective):
    """Spoils the loss of marked batches."""

    def loss(self, model: Any, batch: Any) -> LossOutput:
        if not isinstance(batch, Marked):
            return super().loss(model, batch)
        output = super().loss(model, batch.batch)
        return output._replace(loss_sum=output.loss_sum * FACTORS[batch.kind])


def choose_bad(
    num_steps: int, seed: int, *, spread: int = 12, clustered: int = 8
) -> dict[int, str]:
    """Where the bad batches stand: `spread` of them anywhere, `clustered` in a row."""
    draw = np.random.default_rng(seed)
    first = int(num_steps * 0.6)
    free = [n for n in range(num_steps // 20, num_steps - 10) if not first - 9 < n < first + 17]
    places = [*range(first, first + clustered), *draw.choice(free, spread, replace=False).tolist()]
    return {int(place): KINDS[number % len(KINDS)] for number, place in enumerate(places)}


def library_bytes(num_bytes: int) -> np.ndarray[Any, Any]:
    """The first bytes of the standard library's sources, in the order of their names."""
    text = bytearray()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text += path.read_bytes()
        if len(text) >= num_bytes:
            break
    return np.frombuffer(bytes(text[:num_bytes]), dtype=np.uint8)


def train_once(
    stage_dir: Path, *, num_steps: int, seed: int, bad: dict[int, str], rate: float = 1.0
) -> TrainResult:
    """One run; `rate` multiplies the learning rates that spin uses."""
    text = library_bytes(BYTES)
    held_out = TokenBatches(text[-100_000:], context=CONTEXT, rows=ROWS, seed=0)
    model = DecoderConfig(
        vocab_size=256,
        num_layers=2,
        width=64,
        num_heads=2,
        num_kv_heads=2,
        head_width=32,
        mlp_width=160,
        context=CONTEXT,
    ).build(torch.Generator().manual_seed(seed))

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        outputs = [CausalObjective().loss(model, held_out.batch(n)) for n in range(60)]
        nats = sum(float(output.loss_sum) for output in outputs)
        return {"loss": nats / sum(output.num_targets for output in outputs)}

    return train(
        model,
        PoisonedObjective(),
        PoisonedBatches(TokenBatches(text[:-100_000], context=CONTEXT, rows=ROWS, seed=seed), bad),
        config=TrainConfig(
            num_steps=num_steps,
            optimizer=OptimizerConfig(
                kind="muon", learning_rate=6e-3 * rate, matrix_learning_rate=1e-2 * rate
            ),
            seed=seed,
            checkpoint_steps=max(5, num_steps // 60),
            tensorboard=False,
        ),
        stage_dir=stage_dir,
        clock=WorkClock(stage_dir.parent / "clock.json"),
        evaluate=evaluate,
    )


def compare(folder: Path, *, num_steps: int, seeds: int) -> dict[str, Any]:
    """Clean and poisoned runs, and what came of them."""
    runs: list[dict[str, Any]] = []

    def run(name: str, bad: dict[int, str], seed: int, rate: float = 1.0) -> float:
        stage = folder / name / "pretrain"
        stage.parent.mkdir(parents=True)
        result = train_once(stage, num_steps=num_steps, seed=seed, bad=bad, rate=rate)
        saved = load_checkpoint(stage)
        assert saved is not None
        loss = float(result.evaluation["loss"])
        runs.append(
            {
                "run": name,
                "loss": loss,
                "skipped": result.skipped_steps,
                "rewinds": result.rewinds,
                "finite": all(bool(t.isfinite().all()) for t in saved.weights.values()),
            }
        )
        print(json.dumps(runs[-1]), flush=True)
        return loss

    clean = [run(f"clean-{seed}", {}, seed) for seed in range(seeds)]
    poisoned = [run(f"poisoned-{s}", choose_bad(num_steps, s), s) for s in range(seeds)]
    for rate in (0.3, 3.0):
        run(f"clean-rate-{rate}", {}, 0, rate)
    change = sum(poisoned) / sum(clean) - 1
    untouched = all(not row["skipped"] for row in runs if row["run"].startswith("clean"))
    finite = all(row["finite"] for row in runs)
    good = change <= LIMIT and untouched and finite
    return {
        "steps": num_steps,
        "change": change,
        "limit": LIMIT,
        "clean_skip_nothing": untouched,
        "finite": finite,
        "good": good,
        "runs": runs,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    set_threads(asked.threads)
    first = print_heading()
    with tempfile.TemporaryDirectory() as folder:
        report = compare(Path(folder), num_steps=asked.steps, seeds=asked.seeds)
    print(f"validation loss {report['change']:+.3%} by 20 poisoned batches (limit {LIMIT:.1%})")
    if asked.json:
        asked.json.write_text(json.dumps({**first, **report}, indent=2) + "\n")
    return 0 if report["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
