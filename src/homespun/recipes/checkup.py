"""What this machine is, how fast, and what it can train: the findings of `homespun doctor`."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import Progress, Silent
from homespun.core.machine import available_memory, machine, num_cores, versions
from homespun.recipes.measure import best_kernels
from homespun.recipes.plan import CONTEXT
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.options import STEP_TOKENS_ROWS

if TYPE_CHECKING:
    from homespun.scaling.grid import Size
    from homespun.training.machine import MachineSpeed

BUDGETS = (("10 minutes", 600.0), ("an hour", 3600.0), ("a night (8 hours)", 28_800.0))
TRIED_SIZES = ("1m", "8m", "30m")
QUICK_SIZES = ("1m",)

# The name people know, and what Linux calls it in /proc/cpuinfo; any of them will do.
_INSTRUCTIONS = {
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "avx512_bf16": ("avx512_bf16",),
    "amx": ("amx_bf16", "amx_tile"),
    "vnni": ("avx512_vnni", "avx_vnni"),
}
_LITTLE = 2 * 10**9


class Trial(NamedTuple):
    """A size that was trained for a moment.

    Attributes:
        flops_per_token: of a training step.
        tokens_per_second: measured.
        efficiency: share of the measured matrix-product speed that training reaches.
    """

    size: str
    parameters: int
    flops_per_token: float
    tokens_per_second: float
    efficiency: float


def doctor(*, quick: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Look at this machine and measure it.

    Args:
        quick: measure for about 3 s instead of half a minute, and one model size instead of three.
        progress: who is told how far it is.

    Returns:
        JSON values: `machine`, `memory`, `disk`, `versions`, `speed` (measured), `training` (what
        can be trained in 10 minutes, an hour, a night, and on which assumptions), `warnings`.
    """
    prepare_process()  # before torch is loaded
    import torch

    from homespun.models import best_compute_dtype
    from homespun.training.machine import measure_machine

    say = progress or Silent()
    sizes = QUICK_SIZES if quick else TRIED_SIZES
    task = say.task("measuring", total=1 + len(sizes), unit="parts")
    speed = measure_machine(seconds=1.0 if quick else 6.0)
    task.advance()
    dtype = best_compute_dtype("cpu")
    gemm = speed.gemm_bf16_gflops if dtype == torch.bfloat16 else speed.gemm_fp32_gflops
    trials = []
    for size in sizes:
        trials.append(try_size(size, gemm_gflops=gemm, seconds=1.5 if quick else 4.0))
        task.advance(note=f"{size}: {trials[-1].tokens_per_second:,.0f} tokens/s")
    task.finish()
    memory, disk = _memory(), _disk(Path.cwd())
    found: dict[str, Any] = {
        "format": 1,
        "machine": {
            **machine(),
            "threads": speed.threads,
            "instructions": instructions(_processor_flags()),
        },
        "memory": memory,
        "disk": disk,
        "versions": _versions(),
        "speed": {
            "gemm_fp32_gflops": round(speed.gemm_fp32_gflops, 1),
            "gemm_bf16_gflops": round(speed.gemm_bf16_gflops, 1),
            "memory_read_gbs": round(speed.memory_read_gbs, 2),
            "training": [trial._asdict() for trial in trials],
        },
        "training": what_it_trains(
            trials,
            dtype=str(dtype).removeprefix("torch."),
            available_bytes=memory["available_bytes"],
        ),
    }
    found["warnings"] = warnings(memory, disk, cores=num_cores(), speed=speed)
    return found


def try_size(size: str, *, gemm_gflops: float, seconds: float) -> Trial:
    """Train the named size for a moment on random ids; see `training_tokens_per_second`."""
    import torch

    from homespun.models import (
        best_compute_dtype,
        count_parameters,
        decoder_size,
        train_flops_per_token,
    )
    from homespun.models.native import kernels_by_name
    from homespun.training.machine import training_tokens_per_second

    config = decoder_size(size, context=CONTEXT)
    model = config.build(torch.Generator().manual_seed(0))
    model.set_compute_dtype(best_compute_dtype("cpu"))
    rate = training_tokens_per_second(
        model,
        batch=STEP_TOKENS_ROWS,
        context=CONTEXT,
        vocab_size=config.vocab_size,
        seconds=seconds,
        kernels=kernels_by_name(best_kernels().name),
    )
    flops = train_flops_per_token(config)
    return Trial(size, count_parameters(config), flops, rate, rate * flops / gemm_gflops / 1e9)


def what_it_trains(trials: Sequence[Trial], *, dtype: str, available_bytes: int) -> dict[str, Any]:
    """For each budget of time the size of least loss, by the law that `homespun plan` asks.

    A size that was tried keeps its measured speed; between and beyond them, tokens a second follow
    from its FLOPs and the efficiency of the tried size nearest to it.
    """
    from homespun.models import count_parameters, decoder_size, decoder_sizes, memory_bytes
    from homespun.recipes.scale.shapes import size_of
    from homespun.scaling import split_budget
    from homespun.scaling.choose import choose_shape
    from homespun.scaling.law import read_law

    law = read_law()
    measured = {trial.size: trial.tokens_per_second for trial in trials}
    rates: dict[Size, float] = {}
    names: dict[Size, str] = {}
    for name in decoder_sizes():
        config = decoder_size(name, context=CONTEXT)
        if memory_bytes(config, batch=STEP_TOKENS_ROWS) <= available_bytes or not rates:
            size = size_of(config)
            rates[size] = measured.get(name) or estimated_rate(name, trials)
            names[size] = name
    budgets = []
    for title, seconds in BUDGETS:
        share = split_budget(seconds, 0.0).pretrain
        # As if there were text without end: how much there is, the corpus decides, not the machine.
        best = choose_shape(
            law,
            list(rates),
            lambda size: share * rates[size],  # noqa: B023 - called before the next turn
            unique_tokens=10**15,
            bytes_per_token=law.bytes_per_token,
        )[0]
        known = names[best.size]
        budgets.append(
            {
                "name": title,
                "seconds": seconds,
                "size": known,
                "parameters": count_parameters(decoder_size(known, context=CONTEXT)),
                "tokens_per_second": round(rates[best.size]),
                "tokens": best.tokens,
                "measured": known in measured,
            }
        )
    tried = ", ".join(f"{t.size} {t.efficiency:.0%}" for t in trials)
    return {
        "compute_dtype": dtype,
        "context": CONTEXT,
        "budgets": budgets,
        "assumptions": [
            f"training reaches this share of the {dtype} matrix-product speed, measured with "
            f"{STEP_TOKENS_ROWS * CONTEXT:,} tokens a step: {tried}; other sizes as the nearest of "
            "these",
            "the size of the least loss by our scaling law, with as much text as that takes; a "
            "smaller corpus wants a smaller model",
            "a model of the preset fast stands beside an n-gram table of its text, which is "
            "counted in seconds and is not among these parameters",
            "the rest of the time goes to the tokenizer, the chat fine-tune and the evaluation",
        ],
    }


def estimated_rate(size: str, trials: Sequence[Trial]) -> float:
    """Tokens a second of a size that was not tried, from the tried size nearest in FLOPs."""
    from homespun.models import decoder_size, train_flops_per_token

    flops = train_flops_per_token(decoder_size(size, context=CONTEXT))
    near = min(trials, key=lambda trial: abs(math.log(trial.flops_per_token / flops)))
    return near.tokens_per_second * near.flops_per_token / flops


def instructions(flags: frozenset[str]) -> dict[str, bool]:
    """Which of the instruction sets that matter here are among the processor's flags."""
    return {name: any(flag in flags for flag in known) for name, known in _INSTRUCTIONS.items()}


def warnings(
    memory: Mapping[str, int], disk: Mapping[str, Any], *, cores: int, speed: MachineSpeed
) -> list[str]:
    """Sentences about what will get in the way."""
    found = []
    if memory["available_bytes"] < _LITTLE:
        found.append("less than 2 GB of memory is free: keep to sizes below 8m")
    if disk["free_bytes"] < _LITTLE:
        found.append("less than 2 GB of disk is free here: a run may not fit")
    if cores == 1:
        found.append("there is one core only: everything takes about twice the time")
    if speed.gemm_bf16_gflops < speed.gemm_fp32_gflops:
        found.append("bfloat16 is not faster here: models are trained in float32")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5 * cores:
        found.append(f"other programs are at work (load {load:.1f}): the speeds above are low")
    return found


def _memory() -> dict[str, int]:
    now = available_memory()
    return {"total_bytes": now.total, "available_bytes": now.free}


def _disk(path: Path) -> dict[str, Any]:
    usage = shutil.disk_usage(path)
    return {"path": str(path), "total_bytes": usage.total, "free_bytes": usage.free}


def _versions() -> dict[str, str]:
    found = versions()
    for package in ("pydantic", "pyarrow", "transformers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def _processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
