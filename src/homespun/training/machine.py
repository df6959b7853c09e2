"""How fast a machine multiplies matrices, reads memory, and takes training steps.

Everything is measured, nothing looked up: the processor's name says little about a rented half of
it. Each figure is the best of several short rounds, because noise from other programs only ever
makes a machine look slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from homespun.models import Decoder

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
    """The shortest time `work` took in rounds that fill `seconds`; at least three, after one to
    warm up."""
    work()
    end = clock() + seconds
    best = float("inf")
    rounds = 0
    while rounds < 3 or clock() < end:
        start = clock()
        work()
        best = min(best, clock() - start)
        rounds += 1
    return best


def training_tokens_per_second(
    model: Decoder, *, batch: int, context: int, vocab_size: int, seconds: float = 2.0
) -> float:
    """Tokens a second of whole training steps on random ids: forward, loss, backward, AdamW.

    Random text trains as fast as any other, so no corpus is needed to know the speed.

    Args:
        model: in the compute dtype it is to train in; its weights are changed.
        batch: sequences a step.
        context: tokens a sequence.
        vocab_size: ids are drawn below it.
        seconds: time to spend; at least three steps are taken after one to warm up.
    """
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(vocab_size, (batch, context + 1), generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    num_tokens = batch * context

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = model.next_token_loss(model(ids_BT[:, :-1]), ids_BT[:, 1:]) / num_tokens
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return num_tokens / best_seconds(step, seconds=seconds)
