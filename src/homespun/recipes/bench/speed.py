"""How fast training steps are, ours beside others', in turn on one machine.

Every contender has a process of its own and they take turns (A B C, A B C, …), with a measurement
of plain matrix products before each round and after the last, because a machine's speed drifts.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

from homespun.core import ConfigError, Progress, Silent, did_you_mean
from homespun.core.machine import machine, versions
from homespun.recipes.bench.contender import Contender
from homespun.recipes.bench.peers import Peer, Shape
from homespun.recipes.bench.recipe import BenchRecipe

OURS = "homespun"
ROUNDS = 3
_GEMM_SECONDS = 0.5


class Size(NamedTuple):
    """A named size. All but `mlp_width`, which is ours, is what contenders share."""

    num_layers: int
    width: int
    num_heads: int
    mlp_width: int
    vocab_size: int


SIZES = {
    "1m": Size(4, 128, 4, 352, 2048),
    "2m": Size(6, 160, 5, 416, 2048),
    "5m": Size(6, 256, 4, 704, 2048),
    "12m": Size(6, 384, 6, 1024, 4096),
}


class SpeedAsk(NamedTuple):
    """What one run of the benchmark is to do.

    Attributes:
        sizes: names of `SIZES`.
        peers: whom to measure beside us.
        rows, context: of a batch.
        seconds: of steps, each contender and size.
        optimizers: ours; each is a row, and the first is the one compared.
        threads: of every contender; None leaves each its own choice.
        tuned: measure peers once more with the allocator and thread settings our commands make.
        compiled: measure peers that do not compile by themselves once more with torch.compile.
    """

    sizes: Sequence[str]
    peers: Sequence[Peer] = ()
    rows: int = 16
    context: int = 256
    seconds: float = 10.0
    optimizers: Sequence[Literal["adamw", "muon"]] = ("muon",)
    threads: int | None = None
    tuned: bool = False
    compiled: bool = False


class Entry(NamedTuple):
    """A row of the table: how a contender is started."""

    label: str
    job: dict[str, Any]
    environment: dict[str, str]


def bench_speed(ask: SpeedAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """Measure; JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: a size is unknown. RunError: a peer does not run.
    """
    progress = progress or Silent()
    for size in ask.sizes:
        if size not in SIZES:
            raise ConfigError(
                "there is no size of that name", got=size, remedy=did_you_mean(size, list(SIZES))
            )
    found = [_measure(size, ask, progress=progress) for size in ask.sizes]
    return {
        "format": 1,
        "benchmark": "train",
        "machine": machine(),
        "versions": versions(),
        "rows": ask.rows,
        "context": ask.context,
        "seconds": ask.seconds,
        "optimizers": list(ask.optimizers),
        "sizes": found,
    }


def _measure(size: str, ask: SpeedAsk, *, progress: Progress) -> dict[str, Any]:
    lineup = entries(SIZES[size], ask)
    task = progress.task(f"training {size}", total=len(lineup) * (1 + ROUNDS), unit="turns")
    steps: dict[str, list[float]] = {entry.label: [] for entry in lineup}
    facts: dict[str, dict[str, Any]] = {}
    gemms: list[float] = []
    with ExitStack() as stack:
        gemm_job = {"job": "gemm", "dtype": "auto", "threads": ask.threads}
        gemm = stack.enter_context(Contender("the matrix product", gemm_job))
        dtype = gemm.answer()["dtype"]
        running = {}
        for label, job, environment in lineup:  # one after another: nobody warms up beside another
            child = stack.enter_context(Contender(label, job, environment=environment))
            facts[label] = child.answer()
            running[label] = child
            task.advance(note=label)
        for _ in range(ROUNDS):
            for label, child in running.items():
                gemms.append(gemm.ask({"seconds": _GEMM_SECONDS})["gflops"])
                answer = child.ask({"seconds": ask.seconds / ROUNDS})
                steps[label] += answer["steps"]
                facts[label]["peak_memory_bytes"] = answer["peak_memory_bytes"]
                task.advance(note=label)
        gemms.append(gemm.ask({"seconds": _GEMM_SECONDS})["gflops"])
    task.finish()
    peak = max(gemms)
    rows = []
    for label, seconds in steps.items():
        row = summary(seconds, facts[label], tokens=ask.rows * ask.context, peak=peak)
        rows.append({"name": label, **row})
    peers = [row["tokens_per_second"] for row in rows if not row["name"].startswith(OURS)]
    return {
        "size": size,
        "shape": SIZES[size]._asdict(),
        "dtype": dtype,
        "gemm_gflops": {
            "best": round(peak, 1),
            "median": round(statistics.median(gemms), 1),
            "worst": round(min(gemms), 1),
            "measurements": len(gemms),
        },
        "contenders": rows,
        "ratio_to_best_peer": round(rows[0]["tokens_per_second"] / max(peers), 3)
        if peers
        else None,
    }


def entries(size: Size, ask: SpeedAsk) -> list[Entry]:
    """Who takes part, ours first."""
    shape = Shape(size.num_layers, size.width, size.num_heads, size.vocab_size, ask.context)
    common = {
        "job": "speed",
        "shape": shape._asdict(),
        "rows": ask.rows,
        "dtype": "auto",
        "threads": ask.threads,
    }
    lineup = []
    for optimizer in ask.optimizers:
        recipe = BenchRecipe(
            model={
                "num_layers": size.num_layers,
                "width": size.width,
                "num_heads": size.num_heads,
                "num_kv_heads": size.num_heads,
                "head_width": size.width // size.num_heads,
                "mlp_width": size.mlp_width,
                "context": ask.context,
            },
            optimizer={"kind": optimizer, "orthogonal": "auto"},
            rows=ask.rows,
        )
        ours = {**common, "name": "homespun", "tuned": True, "recipe": recipe.model_dump()}
        lineup.append(Entry(f"{OURS}, {optimizer}", ours, {}))
    for peer in ask.peers:
        job = {
            **common,
            "name": peer.name,
            "path": None if peer.path is None else str(peer.path),
            "compile": peer.name == "nanochat",  # as its own script does
            "tuned": False,
        }
        # nanochat compiles its optimiser by decorators: without a compiler it runs them plainly.
        plain = {"TORCHDYNAMO_DISABLE": "1"}
        lineup.append(Entry(peer.name, job, {}))
        if peer.name == "nanochat":
            lineup.append(Entry("nanochat, eager", {**job, "compile": False}, plain))
        elif ask.compiled:
            lineup.append(Entry(f"{peer.name}, compiled", {**job, "compile": True}, {}))
        if ask.tuned:
            lineup.append(Entry(f"{peer.name}, tuned", {**job, "tuned": True}, {}))
    return lineup


def summary(
    seconds: Sequence[float], facts: dict[str, Any], *, tokens: int, peak: float
) -> dict[str, Any]:
    """A contender's figures from the times of its steps."""
    median = statistics.median(seconds)
    gflops = facts["flops_per_token"] * tokens / median / 1e9
    return {
        "tokens_per_second": round(tokens / median, 1),
        "gflops": round(gflops, 1),
        "share_of_gemm_peak": round(gflops / peak, 3),
        "peak_memory_bytes": facts["peak_memory_bytes"],
        "parameters": facts["parameters"],
        "flops_per_token": facts["flops_per_token"],
        "step_seconds": {"median": median, "best": min(seconds), "worst": max(seconds)},
        "steps": len(seconds),
        "threads": facts["threads"],
        "warm_up_seconds": facts["warm_up_seconds"],
    }
