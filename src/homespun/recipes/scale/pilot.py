"""A short training of the text at hand: what ties it to a law that was fitted to another.

A tiny decoder learns the run's own shards for a few seconds by the same rules as any run of the
sweep, decay to zero at its own end. How far its loss lies from the law's tells how much harder or
easier the text is.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import Progress, RunDirectory, Silent, WorkClock, derive_seed
from homespun.recipes.measure import TextBeside, loaded_kernels, tokens_per_second
from homespun.recipes.scale.options import bytes_per_token
from homespun.recipes.scale.shapes import (
    PRESET,
    Preset,
    decoder_shape,
    multiplied_parameters,
    size_of,
)
from homespun.recipes.scale.sweep import cell_config
from homespun.scaling.choose import Calibration, factors_outside, outcome
from homespun.scaling.grid import TOKENS_A_PARAMETER, Cell
from homespun.scaling.law import Law
from homespun.scaling.rules import settings_for

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

WIDTHS = (16, 24, 32, 48, 64, 96, 128)
# Of operations a second, on the safe side: which width suits the time need not be exact.
CAUTIOUS_FLOPS = 15e9
LEAST_SECONDS = 3.0
MOST_SECONDS = 20.0
SHARE = 0.03  # of the time for pretraining
TRAINING = 0.7  # of the pilot's time, more or less
VALIDATION_TOKENS = 65_536


def pilot_seconds(seconds: float) -> float:
    """How long the pilot of a run of `seconds` may take; 0 where it is not worth it."""
    wanted = SHARE * seconds
    return 0.0 if wanted < LEAST_SECONDS / 2 else min(MOST_SECONDS, max(LEAST_SECONDS, wanted))


def pilot_shape(
    seconds: float, *, vocab_size: int, context: int, preset: Preset = PRESET
) -> DecoderConfig:
    """The width that reads nearest to `TOKENS_A_PARAMETER` in the time, as the runs behind a law
    do: far fewer tokens than parameters, and the law says nothing of the result."""
    shapes = [
        decoder_shape(width=w, vocab_size=vocab_size, context=context, preset=preset)
        for w in WIDTHS
    ]

    def off(shape: DecoderConfig) -> float:
        size = size_of(shape)
        tokens = CAUTIOUS_FLOPS * seconds / size.flops_per_token
        return abs(math.log(tokens / size.parameters / TOKENS_A_PARAMETER))

    return min(shapes, key=off)


def fly_pilot(
    run: RunDirectory,
    law: Law,
    *,
    vocab_size: int,
    context: int,
    seconds: float,
    beside: TextBeside | None = None,
    progress: Progress,
) -> Calibration:
    """Train a tiny shape for about `seconds` on the run's shards and compare it with the law.

    Args:
        beside: the table of the run's text, where models of the law's preset stand beside one.
    """
    import torch

    from homespun.corpus import open_split
    from homespun.evaluation import quick_validation
    from homespun.models.native import use_kernels
    from homespun.training import CausalObjective, TokenBatches, train

    began = time.monotonic()
    task = progress.task("pilot", seconds, "s")
    text: Any = open_split(run.shards, "train")
    preset: Preset = "portable" if beside is None else "fast"
    shape = pilot_shape(seconds, vocab_size=vocab_size, context=context, preset=preset)
    rate = tokens_per_second(shape, rows=4, seconds=0.05 * seconds, beside=beside)
    tokens = max(40 * context, int(rate * TRAINING * seconds))
    cell = Cell("hold-out", 0.0, size_of(shape), tokens, None, run.record().seed)
    settings = settings_for(cell.size.parameters, tokens, context=context, preset=preset)
    model = shape.build(torch.Generator().manual_seed(derive_seed(run.record().seed, "pilot")))
    held_out: Any = open_split(run.shards, "validation")
    per_token = bytes_per_token(run)

    def bits(model: Any) -> float:
        with use_kernels(loaded_kernels()):
            nats = quick_validation(model, held_out, context=context, max_tokens=VALIDATION_TOKENS)
        return nats / math.log(2) / per_token

    alone, judging = None, 0.0
    if beside is not None:
        model.attach_prior(beside.prior)
        started = time.monotonic()
        alone = bits(model)  # new, it leaves the table's word as it is
        judging = time.monotonic() - started
    source = TokenBatches(
        text,
        context=context,
        rows=settings.rows,
        seed=run.record().seed,
        blocks=None if beside is None else beside.blocks,
    )
    config = cell_config(cell, context=context, preset=preset)
    # By time, since the rate of a second or two is not to be trusted; what judging takes is kept.
    left = max(0.3 * seconds, seconds - (time.monotonic() - began) - judging)
    config = config.model_copy(update={"num_steps": None, "seconds": round(left, 3)})
    with tempfile.TemporaryDirectory(prefix="homespun-pilot-") as folder:
        result = train(
            model,
            CausalObjective(),
            source,
            config=config,
            stage_dir=Path(folder),
            clock=WorkClock(Path(folder) / "clock.json"),
            progress=Silent(),
        )
    told = outcome(
        law,
        size_of(shape),
        tokens=result.tokens,
        unique_tokens=len(text),
        bytes_per_token=per_token,
    )
    task.finish()
    flown = Calibration(
        parameters=multiplied_parameters(shape),
        tokens=result.tokens,
        unique_tokens=len(text),
        measured=bits(model),
        foretold=told.loss,
        seconds=round(time.monotonic() - began, 2),
        alone=alone,
    )
    outside = factors_outside(law, flown, per_token)
    return flown.model_copy(update={"outside": round(outside, 3)})
