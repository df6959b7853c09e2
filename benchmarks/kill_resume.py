"""Kill a training with -9 at random moments, start it again, compare with an undisturbed run.

    python benchmarks/kill_resume.py --kills 200 --inside-save 50 --as-users --json kills.json

Each kill has a run folder of its own: train in a process, kill it (some at a random moment, some
the moment a checkpoint is being written), train again to the end, and compare the final weights
byte for byte and the metrics row for row. Exit code 1 where anything differs. With --as-users the
compiled kernels compute in the precision of this machine, with an average of the weights, and the
run ends early and keeps its best weights; without, torch in float32.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.process
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STEPS = 120


@dataclass(frozen=True)
class Kill:
    """Attributes:
    wanted: "saving" or "any": the moment aimed at.
    seconds: how long the process lived.
    was_saving: whether it left a half-written checkpoint behind.
    resumed_from: step of the newest checkpoint it left, 0 for none.
    same_weights, same_rows: whether the resumed run ended like the undisturbed one.
    """

    wanted: str
    seconds: float
    was_saving: bool
    resumed_from: int
    same_weights: bool
    same_rows: bool


def train_small(run_dir: Path, num_steps: int, num_threads: int, as_users: bool = False) -> None:
    """A real stage, small: Muon and AdamW, two micro batches, evaluations, checkpoints by number
    and by time."""
    import numpy as np
    import torch

    from homespun.core import WorkClock
    from homespun.models import DecoderConfig
    from homespun.recipes.measure import best_dtype_name, best_kernels
    from homespun.training import (
        BestConfig,
        CausalObjective,
        EmaConfig,
        OptimizerConfig,
        TokenBatches,
        TrainConfig,
        set_threads,
        train,
    )

    set_threads(num_threads)
    run_dir.mkdir(parents=True, exist_ok=True)
    model = DecoderConfig(
        vocab_size=300,
        num_layers=2,
        width=64,
        num_heads=2,
        num_kv_heads=1,
        head_width=32,
        mlp_width=128,
        context=32,
    ).build(torch.Generator().manual_seed(0))
    tokens = np.random.default_rng(0).zipf(1.5, 20_000).astype(np.uint16) % 300
    validation = TokenBatches(tokens[:2_000], context=32, rows=4, seed=1)

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        output = CausalObjective().loss(model, validation.batch(0))
        loss = float(output.loss_sum) / output.num_targets
        # As if the text were learned by heart: lowest after two fifths of the steps.
        turn = abs(step / num_steps - 0.4) if as_users else 0.0
        return {"loss": loss + 10 * turn, "split": "validation"}

    train(
        model,
        CausalObjective(),
        TokenBatches(tokens, context=32, rows=4, seed=0),
        config=TrainConfig(
            num_steps=num_steps,
            num_micro_batches=2,
            optimizer=OptimizerConfig(kind="muon"),
            eval_steps=4 if as_users else 25,
            best=BestConfig(after=0.0, patience=0.3) if as_users else None,
            checkpoint_steps=7,
            checkpoint_seconds=0.2,
            kernels=best_kernels().name if as_users else "torch",
            compute_dtype=best_dtype_name() if as_users else "float32",
            ema=EmaConfig() if as_users else None,
        ),
        stage_dir=run_dir / "pretrain",
        clock=WorkClock(run_dir / "clock.json"),
        evaluate=evaluate,
    )


class Trainings:
    """Processes that run `train_small`, forked from a server that has torch loaded already."""

    def __init__(self, num_steps: int, num_threads: int, as_users: bool = False) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["homespun.training", "homespun.models", "tensorboardX.event_file_writer"]
        )
        self._arguments = (num_steps, num_threads, as_users)

    def start(self, run_dir: Path) -> multiprocessing.process.BaseProcess:
        process = self._context.Process(target=train_small, args=(run_dir, *self._arguments))
        process.start()
        return process

    def finish(self, run_dir: Path) -> None:
        process = self.start(run_dir)
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"training in {run_dir} ended with code {process.exitcode}")


def half_written(run_dir: Path) -> bool:
    """Whether a checkpoint is being written, or was when the process died."""
    try:
        names = os.listdir(run_dir / "pretrain" / "checkpoints")
    except FileNotFoundError:
        return False
    return any(name.endswith(".tmp") and name.count(".") == 2 for name in names)


def kill_once(
    trainings: Trainings, run_dir: Path, *, wanted: str, after: float, compare: Callable[..., Any]
) -> Kill | None:
    """Train, kill `after` seconds (or at the next save behind them), resume, compare.

    None where the stage was over before the kill.
    """
    process = trainings.start(run_dir)
    started = time.monotonic()
    while process.is_alive():
        late = time.monotonic() - started >= after
        if late and (wanted == "any" or half_written(run_dir)):
            break
        time.sleep(0 if late else 0.001)
    process.kill()
    lived = time.monotonic() - started
    process.join()
    if (run_dir / "pretrain" / "done.json").exists():
        return None
    was_saving = half_written(run_dir)
    steps = [int(path.name[5:]) for path in run_dir.glob("pretrain/checkpoints/step-*")]
    trainings.finish(run_dir)
    weights, rows = outcome(run_dir)
    same_weights, same_rows = compare(weights, rows)
    return Kill(wanted, round(lived, 3), was_saving, max(steps, default=0), same_weights, same_rows)


def outcome(run_dir: Path) -> tuple[str, list[dict[str, Any]]]:
    """The sha256 of the final weights, and the metrics rows without what a clock measured."""
    from homespun.training.health import CLOCKED

    stage = run_dir / "pretrain"
    weights = json.loads((stage / "done.json").read_text())["weights_sha256"]
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    clocked = ("seconds", "tokens_per_second")
    return weights, [
        {k: v for k, v in row.items() if k not in clocked}
        for row in rows
        if row.get("finding") not in CLOCKED
    ]


def run_kills(
    folder: Path,
    *,
    num_kills: int,
    num_saving: int,
    num_steps: int = STEPS,
    num_threads: int = 1,
    as_users: bool = False,
    seed: int = 0,
    say: Callable[[Kill], None] = lambda kill: None,
) -> list[Kill]:
    """At least `num_kills` kills, at least `num_saving` of which hit a checkpoint being written."""
    draw = random.Random(seed)
    trainings = Trainings(num_steps, num_threads, as_users)
    # Where processes are forked from is started, lest that count as a part of a training.
    Trainings(1, num_threads, as_users).finish(folder / "warm-up")
    began = time.monotonic()
    trainings.finish(folder / "undisturbed")
    duration = time.monotonic() - began
    weights, rows = outcome(folder / "undisturbed")
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    # Without a kill: all of them, or those up to where its held-out loss has turned.
    assert steps == [*range(1, len(steps) + 1)]
    assert num_steps / 2 < len(steps) <= num_steps if as_users else len(steps) == num_steps

    def compare(other_weights: str, other_rows: list[dict[str, Any]]) -> tuple[bool, bool]:
        return other_weights == weights, other_rows == rows

    kills: list[Kill] = []
    number = 0
    while (missing := num_saving - sum(kill.was_saving for kill in kills)) > 0 or (
        len(kills) < num_kills
    ):
        wanted = "saving" if num_kills - len(kills) <= missing or number % 2 else "any"
        run_dir = folder / f"kill-{number}"
        after = draw.uniform(0, 0.9) * duration
        kill = kill_once(trainings, run_dir, wanted=wanted, after=after, compare=compare)
        shutil.rmtree(run_dir)
        number += 1
        if kill is None:  # it came too late: the machine is quicker than it was
            duration *= 0.8
        else:
            kills.append(kill)
            say(kill)
    return kills


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument(
        "--inside-save", type=int, default=None, help="of these while saving; a third"
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--as-users", action="store_true", help="kernels and precision of a user")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    from heading import print_heading

    first = print_heading()
    print("aimed at  lived s  was saving  resumed from  same weights  same rows")

    def say(kill: Kill) -> None:
        print(
            f"{kill.wanted:8}  {kill.seconds:7.2f}  {kill.was_saving!s:10}  "
            f"{kill.resumed_from:12}  {kill.same_weights!s:12}  {kill.same_rows}",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        kills = run_kills(
            Path(folder),
            num_kills=asked.kills,
            num_saving=-(-asked.kills // 3) if asked.inside_save is None else asked.inside_save,
            num_steps=asked.steps,
            num_threads=asked.threads,
            as_users=asked.as_users,
            seed=asked.seed,
            say=say,
        )
    good = sum(kill.same_weights and kill.same_rows for kill in kills)
    saving = sum(kill.was_saving for kill in kills)
    print(f"{good} of {len(kills)} kills left no trace; {saving} hit a checkpoint being written")
    if asked.json:
        report: dict[str, Any] = {
            **first,
            "steps": asked.steps,
            "threads": asked.threads,
            "good": good,
        }
        report |= {"as_users": asked.as_users, "while_saving": saving}
        asked.json.write_text(
            json.dumps({**report, "kills": [asdict(kill) for kill in kills]}, indent=2) + "\n"
        )
    return 0 if good == len(kills) else 1


if __name__ == "__main__":
    sys.exit(main())
