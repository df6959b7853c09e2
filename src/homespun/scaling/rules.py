"""Settings that follow from size and length: learning rates, batch, warm-up.

A sweep in which all runs share one rate or one batch measures how badly they fit the small and
the large, not how loss scales (Porian et al. 2024, arXiv 2406.19146). Sweep and plan take theirs
from here, so that the law speaks of the runs that the plan makes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

# lr* = 0.0985 N^-0.508 D^0.238 and B* = 3.6e-4 D^0.931 tokens: AdamW, N < 59M, 935 runs on
# TinyStories (arXiv 2609.27581, known to us from summaries only).
_RATE, _RATE_N, _RATE_D = 0.0985, -0.508, 0.238
_BATCH, _BATCH_D = 3.6e-4, 0.931
# What the tables want beside Muon, as a multiple of that rule; and Muon's own rate, whose optimum
# is flat from 4e-3 to 2e-2 at these sizes (LOG.md). A model beside an n-gram table has less to
# learn and wants less: Muon's steps are as long whether a gradient is signal or noise.
TABLE_FACTOR = 4.0
MATRIX_RATES = {"portable": 1e-2, "fast": 4e-3}
# Of matrices where AdamW learns them: between its rules for 1M and for 5M parameters.
ADAMW_RATE = 3e-3
# 32x2 beside a table, 7,600 steps: at 0.05 its loss leaves for good once the peak is reached.
HIGHEST_RATES = {"portable": 0.05, "fast": 0.03}
# Times the rate of tables, where embedding and head are two: a row of the embedding gets a gradient
# only where its token occurs, all tokens move the head (LOG.md).
EMBEDDING_RATE, HEAD_RATE = 10.0, 0.4
# Of sweeps, searches and stages alike: a law holds for runs that are trained as its own were.
WEIGHT_DECAY, DECAY_SHARE = 0.1, 0.6
# AdamW's, of tables and vectors: 0.9 remembers longer than rates this high allow (LOG.md).
BETA1 = 0.8
LEAST_STEPS = 800
SMALL_BATCH = 2048
LARGEST_BATCH = 65_536
LONGEST_WARMUP = 0.02
LEAST_TRAINING = 0.5  # of the time that is left for training, however long counting took
# Longest n-gram of the table beside a fast model. Beyond these a table grows and hardly gains: by
# BPE 1.681, 1.637, 1.631 and 1.630 bits per byte at order 3 to 6 (LOG.md).
TABLE_ORDER = {"bpe": 5, "char": 6, "byte": 6}
TABLE_BLOCKS = 8  # the table of each block has counted seven eighths of the text
# Before anything has been measured: tokens counted a second, and what looking a token up takes.
COUNTED_PER_SECOND = 1.5e6
LOOKUP_SECONDS = 4e-5


class TableSettings(NamedTuple):
    """Attributes:
    order: longest n-gram of the table beside the model; 0 for no table.
    blocks: parts of the training text, each of which is read with a table that left it out.
    copies: whether it also looks at what followed earlier in the context.
    """

    order: int
    blocks: int
    copies: bool = False


class Settings(NamedTuple):
    """Attributes:
    rows: of the context, a step.
    num_steps: optimiser steps.
    learning_rate: peak, of tables and vectors. matrix_learning_rate: of the blocks' matrices.
    warmup: share of the run.
    """

    rows: int
    num_steps: int
    learning_rate: float
    matrix_learning_rate: float
    warmup: float


def settings_for(
    parameters: float, tokens: float, *, context: int, preset: str = "portable"
) -> Settings:
    """All of them for a run of `parameters` on `tokens`."""
    rows = rows_for(tokens, context=context)
    return Settings(
        rows=rows,
        num_steps=max(1, round(tokens / (rows * context))),
        learning_rate=min(HIGHEST_RATES[preset], learning_rate_for(parameters, tokens)),
        matrix_learning_rate=MATRIX_RATES[preset],
        warmup=warmup_for(parameters, tokens),
    )


def table_for(preset: str, kind: str = "bpe") -> TableSettings:
    """The n-gram table that goes with a preset and a kind of tokenizer (bpe, char or byte)."""
    if preset == "portable":
        return TableSettings(0, TABLE_BLOCKS)
    return TableSettings(TABLE_ORDER[kind], TABLE_BLOCKS, copies=True)


def left_after_counting(seconds: float, counting: float) -> float:
    """Of the seconds for pretraining, those that are trained."""
    return max(LEAST_TRAINING * seconds, seconds - counting)


def before_counting(training: float, counting: float) -> float:
    """The seconds for pretraining of which so many are left to train, see `left_after_counting`."""
    return min(training + counting, training / LEAST_TRAINING)


def learning_rate_for(parameters: float, tokens: float) -> float:
    """Peak rate of tables and vectors, three significant digits."""
    rate = TABLE_FACTOR * _RATE * parameters**_RATE_N * tokens**_RATE_D
    return float(f"{min(HIGHEST_RATES['portable'], max(5e-4, rate)):.3g}")


def batch_for(tokens: float) -> float:
    """Tokens a step: what learns most from a token is a batch below a thousand at this length,
    what this machine trains fastest is 2,048 and more. A short run takes `LEAST_STEPS` steps
    first, then steps of 2,048, and a long one the rule."""
    by_rule = float(_BATCH * tokens**_BATCH_D)
    return min(LARGEST_BATCH, max(min(SMALL_BATCH, tokens / LEAST_STEPS), by_rule))


def rows_for(tokens: float, *, context: int) -> int:
    """Rows of `context` tokens nearest to `batch_for`, one at least."""
    return max(1, round(batch_for(tokens) / context))


def warmup_for(parameters: float, tokens: float) -> float:
    """Share of the run: 2%, and no longer than one token a parameter (Porian et al., section 3)."""
    return float(f"{min(LONGEST_WARMUP, parameters / tokens):.3g}")


def layers_for(width: int) -> int:
    """Depth that goes with a width: deep and thin, as small models like it (32 x 2, 64 x 3,
    128 x 5, 256 x 8, 512 x 11, 1024 x 17)."""
    return max(2, round(5 * math.pow(width / 128, 0.6)))


def optimizer_settings(*, tied: bool) -> dict[str, Any]:
    """The fields of `OptimizerConfig` that follow from neither size nor length, for every training
    from nothing: stages, sweeps, searches and benchmarks.

    Args:
        tied: whether embedding and head are one table.
    """
    kinds = {} if tied else {"embedding": {"rate": EMBEDDING_RATE}, "head": {"rate": HEAD_RATE}}
    return {"kind": "muon", "orthogonal": "auto", "beta1": BETA1, "kinds": kinds}
