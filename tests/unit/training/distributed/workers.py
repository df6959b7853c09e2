"""What the processes of the tests do. They are started anew, so everything is imported from here.

One set of three processes serves all tests: some of them form a smaller world first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist

from homespun.classic import count_left_out
from homespun.core import BudgetError, HomespunError, TextBlocks, WorkClock
from homespun.core.files import read_jsonl, write_json
from homespun.core.processes import Place
from homespun.models import DecoderConfig, NgramPrior, OrderTable
from homespun.training import (
    BestConfig,
    CausalObjective,
    EmaConfig,
    Judge,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    train,
)
from homespun.training.data import IGNORED, Batch
from homespun.training.distributed import OtherProcessFailed, ParallelConfig, World, joined_world
from homespun.training.health import HealthConfig
from homespun.training.machine import training_tokens_per_second
from homespun.training.stage import saves

V, T, ROWS = 61, 16, 7  # neither 61 nor 7 divides by 2 or 3: shards and shares are uneven
STEPS, HALF = 8, 4
RING = np.arange(5000) ** 2 % V  # a rule to be learnt
CURIOUS = HealthConfig(every=1, max_logit=1e-9)  # looks at each fourth step; any score is told
BLOCKS = TextBlocks(RING, end_of_text_id=None, num_blocks=4)


def model(*, table: bool = False, odd: bool = False) -> Any:
    """With `table`, beside an n-gram table of the text; with `odd`, some parameters are frozen, and
    a number takes no part in the loss."""
    config = DecoderConfig(
        vocab_size=V,
        num_layers=3,
        width=20,
        num_heads=2,
        num_kv_heads=1,
        head_width=10,
        mlp_width=28,
        context=T,
        tied=False,
        ngram_prior=table,
    )
    model = config.build(torch.Generator().manual_seed(0))
    if table:
        orders = [
            OrderTable.of(*own)
            for own in count_left_out(
                RING, order=3, vocab_size=V + 1, end_of_text_id=V, blocks=BLOCKS
            )
        ]
        model.attach_prior(NgramPrior(V + 1, orders, num_words=V))
    if odd:
        norm = model.blocks[0].attention_norm
        norm.register_parameter("unused", torch.nn.Parameter(torch.tensor(0.5)))
        frozen = [p for p in model.blocks[1].parameters() if p.ndim == 2][:1]
        for parameter in [*frozen, norm.weight]:
            parameter.requires_grad_(False)
    return model


class Lopsided:
    """Batches of a stream in which some rows hold no target: one process has none at all."""

    def __init__(self, *, blocks: TextBlocks | None = None) -> None:
        self._inner = TokenBatches(RING, context=T, rows=ROWS, seed=0, blocks=blocks)
        self.epochs, self.describe = self._inner.epochs, self._inner.describe

    def batch(self, index: int) -> Batch:
        batch = self._inner.batch(index)
        if index % 2:
            batch.targets_BT[:4] = IGNORED
        return batch


class Poisoned:
    """The usual loss, infinite once, at step 3 of this process."""

    name = "causal"

    def __init__(self) -> None:
        self._num_calls = 0

    def loss(self, model: Any, batch: Batch) -> Any:
        self._num_calls += 1
        output = CausalObjective().loss(model, batch)
        factor = float("inf") if self._num_calls == 3 else 1.0
        return output._replace(loss_sum=output.loss_sum * factor)


class Hungry:
    """The usual loss of the process that is short of memory for more than two rows, forwards or on
    the way back."""

    name = "causal"

    def __init__(self, when: Literal["forwards", "backwards"]) -> None:
        self._when = when

    def loss(self, model: Any, batch: Batch) -> Any:
        is_short = batch.num_rows > 2
        if is_short and self._when == "forwards":
            raise MemoryError
        output = CausalObjective().loss(model, batch)
        if is_short:
            # When some gradients are there already and others are not.
            middle = model.blocks[1].mlp.down.weight
            handle = middle.register_hook(self._fail)
            self._handles = [handle]
        return output

    def _fail(self, gradient: Any) -> Any:
        for handle in self._handles:
            handle.remove()
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


class Measured:
    """The usual loss, and a number beside it: the share of targets that are even."""

    name = "causal"

    def loss(self, model: Any, batch: Batch) -> Any:
        targets = batch.targets_BT[batch.targets_BT != IGNORED]
        even = float((targets % 2 == 0).float().mean()) if len(targets) else float("nan")
        return CausalObjective().loss(model, batch)._replace(metrics={"even": even})


class StopAt:
    """A hook that ends training between two steps, as a kill would."""

    def __init__(self, step: int, error: Callable[[], BaseException]) -> None:
        self._step, self._error = step, error

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        if step == self._step:
            raise self._error()


def run(
    stage: Path,
    world: World | None = None,
    parallel: ParallelConfig | None = None,
    *,
    kind: str = "muon",
    micro: int = 1,
    hooks: tuple[Any, ...] = (),
    objective: Any = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    table: bool = False,
    odd: bool = False,
    health: HealthConfig | None = None,
    best: bool = False,
    ema: bool = False,
) -> None:
    """Train to the end, or go on where another call stopped. With `best`, what is learned is held
    to be bad, so that the weights of the first evaluation are kept."""
    train(
        model(table=table, odd=odd),
        objective or CausalObjective(),
        Lopsided(blocks=BLOCKS if table else None),
        config=TrainConfig(
            num_steps=STEPS,
            num_micro_batches=micro,
            compute_dtype=dtype,
            optimizer=OptimizerConfig(kind=kind, learning_rate=2e-2, weight_decay=0.1),
            tensorboard=False,
            checkpoint_seconds=None,
            checkpoint_steps=HALF,
            eval_steps=3,
            health=health or HealthConfig(),
            best=BestConfig(after=0.0) if best else None,
            ema=EmaConfig(start=0.2, half_life_steps=2.0) if ema else None,
        ),
        stage_dir=stage,
        clock=WorkClock(stage.parent / f"clock-{stage.name}-{0 if world is None else world.rank}"),
        evaluate=_contrary if best else _evaluate,
        hooks=hooks,
        world=world,
        parallel=parallel,
        judge=Judge(_contrary, 1.0) if best else None,
    )


def _contrary(model: Any, step: int) -> dict[str, float]:
    return {"loss": -_evaluate(model, step)["loss"]}


def _evaluate(model: Any, step: int) -> dict[str, float]:
    batch = Lopsided().batch(0)
    return {"loss": float(CausalObjective().loss(model, batch).loss_sum), "was_at": step}


def run_half(stage: Path, *args: Any, **settings: Any) -> None:
    """Train up to the checkpoint after half of the steps and one step more, which is lost."""
    try:
        run(stage, *args, hooks=(StopAt(HALF + 1, InterruptedError),), **settings)
    except InterruptedError:
        return
    raise AssertionError("training was to stop half-way")


def rows(stage: Path, kind: str = "train") -> list[dict[str, Any]]:
    return [row for row in read_jsonl(stage / "metrics.jsonl") if row["kind"] == kind]


def work(rank: int, folder: Path) -> None:
    """All that process `rank` does."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    for size, name, task in (
        (2, "two", _in_two),
        (3, "three", _in_three),
        (2, "leader", _leader_fails),
        (2, "hungry", _all_are_short),
        (2, "fed", _all_are_short),  # the same again, which goes on
        # Last: what the leader notices is that the other process ends.
        (2, "follower", _follower_fails),
    ):
        if rank < size:
            _join(rank, size, folder, name, task)


def _join(
    rank: int, size: int, folder: Path, name: str, task: Callable[[World, Path], None]
) -> None:
    store = dist.FileStore(str(folder / f"store-{name}"), size)
    told = {"error": "", "notes": [], "code": 0}
    try:
        with joined_world(Place(rank, size, rank, size), store=store) as world:
            task(world, folder)
    except OtherProcessFailed as left:
        told = {"error": "", "notes": [], "code": left.code}
    except HomespunError as error:
        told = {"error": str(error), "notes": error.__notes__, "code": 1}
    write_json(folder / f"told-{name}-{rank}.json", {**told, "group": dist.is_initialized()})


def _in_two(world: World, folder: Path) -> None:
    ddp, fsdp = ParallelConfig(), ParallelConfig(strategy="fsdp")
    for kind in ("adamw", "muon"):
        run(folder / f"ddp-{kind}-2", world, ddp, kind=kind)
        run(folder / f"fsdp-{kind}-2", world, fsdp, kind=kind)
    again = ParallelConfig(strategy="fsdp", checkpoint_activations=True)
    run(folder / "fsdp-micro-2", world, again, micro=2)
    run(folder / "ddp-micro-2", world, ddp, micro=2)
    for strategy in ("ddp", "fsdp"):
        parts = ParallelConfig(strategy=strategy, accumulate=4)
        run(folder / f"{strategy}-parts-2", world, parts)
    run(folder / "ddp-table-2", world, ddp, table=True)
    run(folder / "fsdp-table-2", world, fsdp, table=True)
    run(folder / "ddp-odd-2", world, ddp, odd=True)
    run(folder / "fsdp-odd-2", world, fsdp, odd=True)
    run_half(folder / "ddp-to-one", world, ddp)
    run_half(folder / "fsdp-to-one", world, fsdp)
    run_half(folder / "fsdp-to-three", world, fsdp)
    run(folder / "one-to-ddp", world, ddp)
    run(folder / "one-to-fsdp", world, fsdp)
    poison = None if world.is_leader else Poisoned()
    run(folder / "ddp-poisoned", world, ddp, objective=poison)
    poison = None if world.is_leader else Poisoned()
    run(folder / "fsdp-poisoned", world, fsdp, objective=poison)
    run(folder / "fsdp-bf16-2", world, fsdp, dtype="bfloat16")
    run(folder / "ddp-looked-2", world, ddp, health=CURIOUS)
    run(folder / "fsdp-looked-2", world, fsdp, health=CURIOUS)
    run(folder / "ddp-best-2", world, ddp, best=True)
    run(folder / "fsdp-best-2", world, fsdp, best=True)
    run(folder / "ddp-ema-2", world, ddp, ema=True)
    run(folder / "fsdp-ema-2", world, fsdp, ema=True)
    run_half(folder / "ddp-ema-to-one", world, ddp, ema=True)
    run_half(folder / "fsdp-ema-to-one", world, fsdp, ema=True)
    run(folder / "ema-one-to-ddp", world, ddp, ema=True)
    run(folder / "ema-one-to-fsdp", world, fsdp, ema=True)
    for strategy, parallel in (("ddp", ddp), ("fsdp", fsdp)):
        run(folder / f"{strategy}-measured-2", world, parallel, objective=Measured())
    for when in ("forwards", "backwards"):
        hungry = None if world.is_leader else Hungry(when)
        run(folder / f"ddp-hungry-{when}", world, ddp, objective=hungry)
    for strategy, parallel in (("ddp", ddp), ("fsdp", fsdp)):
        speed = training_tokens_per_second(
            model(),
            batch=ROWS,
            context=T,
            vocab_size=V,
            seconds=0.05,
            parts=2,
            world=world,
            parallel=parallel,
        )
        write_json(folder / f"speed-{strategy}-{world.rank}.json", speed)
    run(folder / "ddp-muon-2", world, ddp)  # complete: returns at once


def _in_three(world: World, folder: Path) -> None:
    run(folder / "ddp-muon-3", world, ParallelConfig())
    run(folder / "fsdp-muon-3", world, ParallelConfig(strategy="fsdp"))
    run(folder / "fsdp-to-three", world, ParallelConfig())
    run(folder / "one-to-fsdp-3", world, ParallelConfig(strategy="fsdp"))


def _follower_fails(world: World, folder: Path) -> None:
    def broken() -> BaseException:
        return HomespunError("the second process fell", remedy="pick it up")

    hooks = () if world.is_leader else (StopAt(3, broken),)
    run(folder / "follower-fails", world, ParallelConfig(strategy="fsdp"), hooks=hooks)


def _leader_fails(world: World, folder: Path) -> None:
    def full(stage: Path, step: int, weights: Any, *rest: Any, **settings: Any) -> Path:
        weights[next(iter(weights))]  # fails in the middle of a file
        raise BudgetError("no space left", remedy="free some disk")

    with patch.object(saves, "write_checkpoint", full):
        run(folder / "leader-fails", world, ParallelConfig(strategy="fsdp"))


def _all_are_short(world: World, folder: Path) -> None:
    """Of more than two rows at once; the second call cuts them."""
    parallel = ParallelConfig(strategy="fsdp")
    run(folder / "fsdp-hungry", world, parallel, objective=Hungry("forwards"))
