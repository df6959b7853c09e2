"""How fast a machine multiplies matrices, reads memory, and takes training steps.

Everything is measured, nothing looked up: the processor's name says little about a rented half of
it. What the machine can do is the best of several short rounds, because noise from other programs
only ever makes it look slower; how fast it will train is the median, because a long run meets the
noise too.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from homespun.core import Objective
from homespun.models import Decoder, device_of
from homespun.models.native import NativeKernels, use_kernels
from homespun.training.config import TrainConfig
from homespun.training.data import Batch
from homespun.training.distributed import ParallelConfig, World, sharing_cores, spread
from homespun.training.objectives import CausalObjective
from homespun.training.optim import OptimizerConfig
from homespun.training.step import take_step

_GEMM_SIZE = 1024  # large enough to be bound by arithmetic, small enough for weak machines
_MEMORY_BYTES = 256 * 1024 * 1024  # past the last-level cache of anything with a few cores


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """Attributes:
    gemm_fp32_gflops: 10^9 floating-point operations a second of an fp32 matrix product.
    gemm_bf16_gflops: the same in bfloat16 (fp32 accumulation inside).
    memory_read_gbs: 10^9 bytes a second read from main memory.
    threads: torch threads used.
    """

    gemm_fp32_gflops: float
    gemm_bf16_gflops: float
    memory_read_gbs: float
    threads: int


def measure_machine(*, seconds: float = 3.0) -> MachineSpeed:
    """Measure the processor with torch's present number of threads.

    Args:
        seconds: time to spend, shared by the three measurements.
    """
    share = seconds / 3
    return MachineSpeed(
        gemm_fp32_gflops=gemm_gflops(torch.float32, seconds=share),
        gemm_bf16_gflops=gemm_gflops(torch.bfloat16, seconds=share),
        memory_read_gbs=memory_read_gbs(seconds=share),
        threads=torch.get_num_threads(),
    )


@torch.inference_mode()
def gemm_gflops(dtype: torch.dtype, *, size: int = _GEMM_SIZE, seconds: float = 1.0) -> float:
    """GFLOP/s of a [size, size] @ [size, size] product; 2 size^3 operations each."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(size, size, generator=generator).to(dtype)
    b = torch.randn(size, size, generator=generator).to(dtype)
    out = torch.empty(size, size, dtype=dtype)
    best = best_seconds(lambda: torch.mm(a, b, out=out), seconds=seconds)
    return 2 * size**3 / best / 1e9


@torch.inference_mode()
def memory_read_gbs(*, num_bytes: int = _MEMORY_BYTES, seconds: float = 1.0) -> float:
    """GB/s at which a sum runs over `num_bytes` of fp32, one pass after another."""
    values = torch.ones(num_bytes // 4)
    best = best_seconds(lambda: values.sum(), seconds=seconds)
    return values.numel() * 4 / best / 1e9


def best_seconds(
    work: Callable[[], object],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The shortest time `work` took in rounds that fill `seconds`."""
    return min(_round_seconds(work, seconds=seconds, clock=clock))


def median_seconds(
    work: Callable[[], object],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The middle one of the times `work` took in rounds that fill `seconds`."""
    return statistics.median(_round_seconds(work, seconds=seconds, clock=clock))


def batch_seconds(model: nn.Module, objective: Objective, batch: Any, *, seconds: float) -> float:
    """How long a batch takes, forward and backward, where `model` is: the middle one of rounds that
    fill `seconds`. Gradients are left in the model.

    Args:
        model: in the compute dtype it is to train in.
        objective, batch: as the training loop has them.
        seconds: time to spend.
    """
    device = device_of(model)
    batch = batch.to(device)

    def work() -> None:
        torch.autograd.backward(objective.loss(model, batch).loss_sum)
        if device.type == "cuda":  # which goes on computing while nobody waits
            torch.cuda.synchronize(device)

    return median_seconds(work, seconds=seconds)


def _round_seconds(
    work: Callable[[], object], *, seconds: float, clock: Callable[[], float]
) -> list[float]:
    """How long each round took; at least three, after one to warm up."""
    work()
    end = clock() + seconds
    rounds: list[float] = []
    while len(rounds) < 3 or clock() < end:
        start = clock()
        work()
        rounds.append(clock() - start)
    return rounds


def training_tokens_per_second(  # noqa: PLR0913 - all that a step depends on
    model: Decoder,
    *,
    batch: int,
    context: int,
    vocab_size: int,
    seconds: float = 2.0,
    kernels: NativeKernels | None = None,
    parts: int = 1,
    batches: Sequence[Batch] = (),
    world: World | None = None,
    parallel: ParallelConfig | None = None,
) -> float:
    """Tokens a second of the training loop's own steps on random ids, clipping and Muon included.

    Random text trains as fast as any other, so no corpus is needed to know the speed.

    Args:
        model: in the compute dtype it is to train in; its weights are changed.
        batch: sequences a step.
        context: tokens a sequence.
        vocab_size: ids are drawn below it.
        seconds: time to spend; at least three steps are taken after one to warm up.
        kernels: the compiled ones to train with; None for torch's.
        parts: that a batch is cut into, whose gradients are added up for one step.
        batches: of real text, in turn, for models beside an n-gram table, which finds nothing in
            random ids and is quick about it.
        world, parallel: the processes that train together, all of which call this alike, and how
            the model is spread over them: all get the speed of all. None for this process alone.
    """
    world = world or World()
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(vocab_size, (batch, context + 1), generator=generator)
    num_tokens = batch * context
    random = Batch(ids_BT[:, :-1], ids_BT[:, 1:], None, None, num_tokens)
    read = itertools.cycle(batches or [random])
    settings = OptimizerConfig(kind="muon", orthogonal="auto")  # as recipes train
    lies = spread(model, world, parallel, compute_dtype=model.compute_dtype)
    optimizer = lies.optimizer(settings, model.compute_dtype)
    parts = max(1, min(parts, batch // world.size))
    clip_norm = TrainConfig(num_steps=1).clip_norm
    model.train()

    def step() -> None:
        take_step(
            model,
            CausalObjective(),
            lies.share(next(read)).split(parts),
            optimizer,
            lr_scale=1.0,
            clip_norm=clip_norm,
            spread=lies,
        )

    def clock() -> float:
        """The leader's, so that all take as many steps."""
        return world.from_leader([time.perf_counter()])[0]

    with sharing_cores(world), use_kernels(kernels):
        return num_tokens / median_seconds(step, seconds=seconds, clock=clock)
