"""Families that are trained, all through the one loop, each for the same seconds, and with as much
dropout and weight decay as suits how well it could know the text by heart then.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from homespun.core import Objective, Silent, WorkClock, derive_seed
from homespun.core.machine import num_threads
from homespun.recipes.bench.ours import Budget, TokenText, learn_and_judge
from homespun.recipes.bench.recipe import make_recipe
from homespun.recipes.bench.validation import ScoreBatch, decoder_score, validation_pass
from homespun.recipes.encoder.shape import MASKED_SHARE, encoder_shape, muon
from homespun.recipes.families.contenders import Judged
from homespun.recipes.families.scoring import prefix_score, pseudo_nats
from homespun.recipes.families.sizes import (
    REFERENCE,
    TRANSFORMERS,
    Size,
    recurrent_numbers,
    recurrent_reference,
    recurrent_sizes,
    suiting,
    transformer_numbers,
)
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.scale.shapes import decoder_shape, shape_name
from homespun.recipes.together import training_device
from homespun.scaling.plan import rereading

if TYPE_CHECKING:
    from torch import nn

    from homespun.core import RunDirectory
    from homespun.models import DecoderConfig, EncoderConfig
    from homespun.training import BatchSource, OptimizerConfig, TokenBatches

_ROWS = 8
_HEAD_WIDTH = 64
_WARMUP, _POST_NORM_WARMUP = 0.02, 0.1
"""Of the time. With norms behind the parts early steps must be small (Xiong et al. 2020, arXiv
2002.04745, section 3)."""
_POST_NORM_RATE = 1e-3
"""AdamW's, of a width of 128 with norms behind the parts: 0.0014 is the highest that the schedule
of Vaswani et al. 2017 (section 5.3) has there."""
_BERT_SHARE = 0.15
_SAMPLED = 2048
"""Tokens an encoder is asked for: each costs a pass over its whole window."""


def judge_recurrent(
    text: TokenText, *, seconds: float, seed: int, context: int, cell: Any
) -> Judged:
    """RNN, LSTM or GRU; gradients flow through 64 tokens."""
    from homespun.models import RecurrentConfig
    from homespun.training import RECURRENT, OptimizerConfig, TruncatedObjective

    def shaped(size: Size) -> RecurrentConfig:
        return RecurrentConfig(
            cell=cell, vocab_size=text.vocab_size, num_layers=1, width=size.width, context=context
        )

    source, objective = _rows(text, context, seed), TruncatedObjective(64)
    reference, sizes = recurrent_reference(cell), recurrent_sizes(cell)
    numbers = recurrent_numbers(cell, text.vocab_size)
    tokens = _tokens_in(seconds, shaped(reference), objective, source)
    width = suiting(sizes, numbers, reference=reference, tokens=tokens).width
    rate = 1e-3 if cell == "rnn" else 3e-3
    optimizer = OptimizerConfig(learning_rate=rate, beta2=0.99, weight_decay=0.01)
    shape = shaped(Size(width, 1))
    lesson = _Lesson(objective, source, len(text.train), seconds, seed, sooner=RECURRENT)
    taught = _teach(shape, optimizer, lesson)
    return _judged(taught, decoder_score(taught.model), text, context, f"1 layer of {width}")


def judge_gpt2(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """The decoder of 2019: learned positions, LayerNorm, GELU, AdamW."""
    from homespun.models import DecoderConfig
    from homespun.training import CausalObjective, OptimizerConfig

    def shaped(size: Size) -> DecoderConfig:
        return DecoderConfig(
            vocab_size=text.vocab_size,
            num_layers=size.layers,
            width=size.width,
            num_heads=size.width // _HEAD_WIDTH,
            num_kv_heads=size.width // _HEAD_WIDTH,
            head_width=_HEAD_WIDTH,
            mlp_width=4 * size.width,
            context=context,
            qk_norm=False,
            norm="layer",
            norm_eps=1e-5,
            positions="learned",
            activation="gelu_tanh",
            attention_bias=True,
            out_bias=True,
            mlp_bias=True,
        )

    source, objective = _rows(text, context, seed), CausalObjective()
    size = _suiting(shaped, objective, source, text, seconds)
    optimizer = OptimizerConfig(learning_rate=2e-3 * _pace(size), beta2=0.99)
    lesson = _Lesson(objective, source, len(text.train), seconds, seed)
    taught = _teach(shaped(size), optimizer, lesson)
    return _judged(taught, decoder_score(taught.model), text, context, str(size))


def judge_portable(
    text: TokenText, *, seconds: float, seed: int, context: int, run: RunDirectory | None = None
) -> Judged:
    """The decoder of today, as `pretrain --preset portable` has it: by a plan for the run's text
    where there is one, which sets context, size, batch and rates."""
    from homespun.training import CausalObjective

    if run is not None:
        return _planned(text, run, seconds=seconds, seed=seed)

    def shaped(size: Size) -> DecoderConfig:
        return decoder_shape(
            width=size.width, num_layers=size.layers, vocab_size=text.vocab_size, context=context
        )

    source, objective = _rows(text, context, seed), CausalObjective()
    size = _suiting(shaped, objective, source, text, seconds)
    optimizer = muon(tied=False, pace=_pace(size))
    lesson = _Lesson(objective, source, len(text.train), seconds, seed)
    taught = _teach(shaped(size), optimizer, lesson)
    return _judged(taught, decoder_score(taught.model), text, context, str(size))


def _planned(text: TokenText, run: RunDirectory, *, seconds: float, seed: int) -> Judged:
    """As `homespun bench text` trains it."""
    part = len(text.train)
    recipe, plan = make_recipe(run, seconds=seconds, preset="portable", text_tokens=part)
    with tempfile.TemporaryDirectory(prefix="homespun-family-") as folder:
        row = learn_and_judge(
            text,
            recipe,
            budget=Budget(seconds, plan.num_steps, time.monotonic()),
            seed=seed,
            stage_dir=Path(folder) / "stage",
            device=training_device(),
        )
    return Judged(
        row["val_loss_sliding"] * row["predictions"],
        row["predictions"],
        row["tokens"],
        row["parameters"],
        shape_name(recipe.decoder(text.vocab_size)) + ", by a plan",
    )


def judge_encoder_decoder(
    text: TokenText, *, seconds: float, seed: int, context: int, is_modern: bool
) -> Judged:
    """Reads half a window and writes the other: every token is told from what stands before.

    Args:
        is_modern: with today's parts and Muon. Else the Transformer of Vaswani et al. 2017 (arXiv
            1706.03762): waves for positions, norms behind each part, ReLU, one table for both sides
            and the head, Adam with a second beta of 0.98, and a tenth of the aim on all words.
    """
    from homespun.models import EncoderDecoderConfig
    from homespun.training import OptimizerConfig, Seq2SeqObjective
    from homespun.training.data.prefixes import PrefixBatches

    context -= context % 2

    def shaped(size: Size) -> EncoderDecoderConfig:
        common: dict[str, Any] = {
            "vocab_size": text.vocab_size,
            # A layer that also looks at what was read costs 4/3 of one, which counts for half the
            # tokens, as the reader's do: there are a few more layers.
            "num_layers": size.layers // 2,
            "num_writer_layers": size.layers - size.layers // 2 + size.layers // 4,
            "width": size.width,
            "num_heads": size.width // _HEAD_WIDTH,
            "head_width": _HEAD_WIDTH,
            "mlp_width": 4 * size.width,
            "context": context,
        }
        if not is_modern:
            return EncoderDecoderConfig(**common)
        return EncoderDecoderConfig(
            **common,
            positions="rotary",
            norm="rms",
            norm_first=True,
            norm_eps=1e-6,
            activation="relu2",
            bias=False,
            tied=False,
            scaled="none",
        )

    rows = _rows(text, context, seed, rows=2 * _ROWS)
    source = PrefixBatches(rows, context=context)
    objective = Seq2SeqObjective(0.0 if is_modern else 0.1)
    size = _suiting(shaped, objective, source, text, seconds)
    shape = shaped(size)
    optimizer = muon(tied=False, pace=_pace(size))
    if not is_modern:
        rate = _POST_NORM_RATE * _pace(size)
        optimizer = OptimizerConfig(learning_rate=rate, beta2=0.98, weight_decay=0.0)
    warmup = _WARMUP if is_modern else _POST_NORM_WARMUP
    lesson = _Lesson(objective, source, len(text.train), seconds, seed, warmup=warmup)
    taught = _teach(shape, optimizer, lesson)
    score = prefix_score(taught.model, context // 2, start_id=text.end_of_text_id or 0)
    shown = f"{size.width} wide, {shape.num_layers} and {shape.num_writer_layers} layers"
    return _judged(taught, score, text, context, shown)


def judge_encoder(
    text: TokenText, *, seconds: float, seed: int, context: int, is_modern: bool
) -> Judged:
    """Pseudo-likelihood (Wang and Cho 2019; Salazar et al. 2020, arXiv 1910.14659): each token is
    told from both sides. Such numbers are no probability of the text, and lower for it.

    Args:
        is_modern: with today's parts, Muon and a fifth of the words hidden. Else BERT (Devlin et
            al. 2018, arXiv 1810.04805): learned positions, norms behind each part, GELU, AdamW with
            a decay of 0.01, and 15% of the words.
    """
    from homespun.training import MaskedBatches, MaskedObjective, OptimizerConfig, Words

    mask_id = text.vocab_size

    def shaped(size: Size) -> EncoderConfig:
        name = f"{size.width}x{size.layers}"
        shape = encoder_shape(name, vocab_size=text.vocab_size + 1, portable=not is_modern)
        return shape.model_copy(update={"num_types": 0, "context": context})

    rows = _rows(text, context, seed)
    never_V = np.zeros(text.vocab_size + 1, dtype=bool)
    never_V[mask_id] = True
    share = MASKED_SHARE if is_modern else _BERT_SHARE
    source = MaskedBatches(
        rows, Words(mask_id, never_V), seed=derive_seed(seed, "masks"), share=share
    )
    objective = MaskedObjective()
    size = _suiting(shaped, objective, source, text, seconds)
    optimizer = muon(tied=True, pace=_pace(size))
    if not is_modern:
        rate = _POST_NORM_RATE * _pace(size)
        optimizer = OptimizerConfig(learning_rate=rate, beta2=0.999, weight_decay=0.01)
    warmup = _WARMUP if is_modern else _POST_NORM_WARMUP
    lesson = _Lesson(objective, source, len(text.train), seconds, seed, warmup=warmup)
    taught = _teach(shaped(size), optimizer, lesson)
    nats = pseudo_nats(taught.model, text.held_out, mask_id=mask_id, context=context, num=_SAMPLED)
    mean = sum(nats) / len(nats)
    num = len(text.held_out) - 1
    note = f"told from both sides, {len(nats):,} tokens asked for: no probability of the text"
    shown = f"{size}{taught.shown}"
    return Judged(mean * num, num, taught.tokens, _size(taught.model), shown, note)


class _Lesson(NamedTuple):
    """How a family learns.

    Attributes:
        objective, source: what, and from which batches.
        unique: tokens of the text.
        seconds, seed: for how long, and of every draw.
        warmup: share of the time in which rates rise.
        sooner: how many times sooner this family wants dropout and decay, see `regularisation`.
    """

    objective: Objective
    source: BatchSource
    unique: int
    seconds: float
    seed: int
    warmup: float = _WARMUP
    sooner: float = 1.0


class _Taught(NamedTuple):
    """Attributes:
    model: in float32 and evaluation mode. tokens: that were read.
    shown: its dropout, for people; "" for none.
    """

    model: Any
    tokens: int
    shown: str


def _teach(shape: Any, optimizer: OptimizerConfig, lesson: _Lesson) -> _Taught:
    """A model of `shape` that has learned, with as much dropout and weight decay as suits how well
    it could know the text by heart when the time is over, by the speed of a few batches.

    Args:
        shape: a config with `dropout` and `build`.
        optimizer: with the decay for one reading.
    """
    from homespun.models import num_multiplied
    from homespun.training import regularisation

    objective, source, seconds, seed = lesson.objective, lesson.source, lesson.seconds, lesson.seed
    plain = shape.build(_weights(seed))
    batches = seconds / _batch_seconds(plain, objective, source)
    read = lesson.unique * source.epochs(math.ceil(batches))
    times = rereading(num_multiplied(plain), read, lesson.unique)
    suits = regularisation(lesson.sooner * times, weight_decay=optimizer.weight_decay)
    model = shape.model_copy(update={"dropout": suits.dropout}).build(_weights(seed))
    optimizer = optimizer.model_copy(update={"weight_decay": suits.weight_decay})
    tokens = _learn(
        model, objective, source, optimizer, seconds=seconds, seed=seed, warmup=lesson.warmup
    )
    return _Taught(model, tokens, f", dropout {suits.dropout:.2f}" if suits.dropout else "")


def _learn(
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    optimizer: OptimizerConfig,
    *,
    seconds: float,
    seed: int,
    warmup: float,
) -> int:
    """Train for so long; returns tokens read. The model is in float32 and evaluation mode then."""
    import torch

    from homespun.training import ScheduleConfig, TrainConfig, set_threads, train

    set_threads(num_threads())
    with tempfile.TemporaryDirectory(prefix="homespun-family-") as folder:
        result = train(
            model.to(training_device()),
            objective,
            source,
            config=TrainConfig(
                seconds=seconds,
                optimizer=optimizer,
                schedule=ScheduleConfig(kind="wsd", warmup=warmup, decay=0.6),
                compute_dtype=best_dtype_name(training_device()),
                seed=derive_seed(seed, "loop"),
                checkpoint_seconds=None,
                health=None,
                tensorboard=False,
            ),
            stage_dir=Path(folder) / "stage",
            clock=WorkClock(Path(folder) / "clock.json"),
            progress=Silent(),
        )
    set_dtype: Any = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(torch.float32)
    return result.tokens


def _batch_seconds(model: Any, objective: Objective, source: BatchSource) -> float:
    """How long a batch takes, forward and backward, of a model that is not used for anything
    else."""
    from homespun.models import best_compute_dtype
    from homespun.training import set_threads
    from homespun.training.machine import batch_seconds

    set_threads(num_threads())
    device = training_device()
    model.to(device).set_compute_dtype(best_compute_dtype(device))
    return batch_seconds(model, objective, source.batch(0), seconds=0.1)


def _tokens_in(seconds: float, shape: Any, objective: Objective, source: BatchSource) -> float:
    """How many tokens a model of that shape reads in the time."""
    batch_seconds = _batch_seconds(shape.build(_weights(0)), objective, source)
    return float(source.batch(0).num_tokens * seconds / batch_seconds)


def _suiting(
    shaped: Callable[[Size], Any],
    objective: Objective,
    source: BatchSource,
    text: TokenText,
    seconds: float,
) -> Size:
    """The size of a Transformer for the time, by the speed of one of them."""
    tokens = _tokens_in(seconds, shaped(REFERENCE), objective, source)
    numbers = transformer_numbers(text.vocab_size)
    return suiting(TRANSFORMERS, numbers, reference=REFERENCE, tokens=tokens)


def _pace(size: Size) -> float:
    """Of rates that suit a width of 128: they fall with the root of the width, as between the usual
    rates of small models."""
    return math.sqrt(128 / size.width)


def _judged(
    taught: _Taught, score: ScoreBatch, text: TokenText, context: int, shape: str
) -> Judged:
    found = validation_pass(score, text.held_out, context=context, stride=max(1, context // 2))
    numbers, shown = _size(taught.model), shape + taught.shown
    return Judged(found.nats, found.predictions, taught.tokens, numbers, shown)


def _rows(text: TokenText, context: int, seed: int, *, rows: int = _ROWS) -> TokenBatches:
    from homespun.training import TokenBatches

    return TokenBatches(text.train, context=context, rows=rows, seed=derive_seed(seed, "rows"))


def _weights(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, "weights"))


def _size(model: nn.Module) -> int:
    return sum(math.prod(parameter.shape) for parameter in model.parameters())
