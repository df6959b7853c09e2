"""Runs made of a known law, for tests."""

from __future__ import annotations

import math

import numpy as np

from homespun.scaling.loss import Array, Points, log_loss
from homespun.scaling.runs import ScaleRun

TRUE = np.array(
    [math.log(1.2), math.log(60.0), math.log(300.0), 0.34, 0.36, math.log(12.0), math.log(5.309743)]
)
BUDGETS = (1e12, 3e12, 1e13, 3e13)


def made_runs(
    noise: float = 0.002,
    *,
    seed: int = 0,
    unique: float = 1e15,
    repeats: bool = False,
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
    truth: Array = TRUE,
) -> list[ScaleRun]:
    """Five sizes for each of four budgets, and, where asked, ten runs on parts of the text."""
    cells = []
    for budget in BUDGETS:
        best = 0.7 * math.sqrt(budget / 60)
        cells += [(budget, f * best, budget / (6 * f * best), unique) for f in factors]
    if repeats:
        for n in (1e5, 3e5):
            cells += [(0.0, n, 4e6, 4e6 / k) for k in (1, 2, 4, 8, 16)]
    b, n, d, u = (np.array(column) for column in zip(*cells, strict=True))
    exact = log_loss(truth[None], Points.of(n, d, u))[0]
    errors = np.random.Generator(np.random.PCG64(seed)).normal(0.0, noise, len(n))
    rows = zip(b, n, d, u, exact + errors, strict=True)
    return [made_run(k, *(float(v) for v in row)) for k, row in enumerate(rows)]


def made_run(
    number: int, budget: float, n: float, d: float, unique: float, log_loss: float
) -> ScaleRun:
    return ScaleRun(
        key=f"run-{number}",
        kind="isoflop" if budget else "repeat",
        budget=budget,
        flops=6 * n * d,
        width=64,
        num_layers=3,
        vocab_size=1024,
        context=256,
        parameters=round(n) + 100,
        non_embedding=round(n / 2),
        matrix_and_head=round(n),
        flops_per_token=6 * n,
        tokens=round(d),
        unique_tokens=round(unique),
        epochs=d / unique,
        loss=math.exp(log_loss),
        bits_per_byte=math.exp(log_loss) / math.log(2) / 2.75,
        seconds=1.0,
        seed=0,
        settings={},
    )
