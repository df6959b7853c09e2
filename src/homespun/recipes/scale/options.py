"""The shapes a plan may take, which of them are worth timing, and the one of least loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.core import RunDirectory
from homespun.core.files import read_json
from homespun.recipes.measure import GUESSED_FLOPS, ShapeSpeed
from homespun.recipes.scale.shapes import PRESET, Preset, changes_for, decoder_shape, size_of
from homespun.scaling.between import repetition
from homespun.scaling.choose import WIDTHS, Outcome, choose_shape, speed_at
from homespun.scaling.grid import parse_shapes
from homespun.scaling.law import Law
from homespun.scaling.loss import worth_in_new
from homespun.scaling.plan import most_readings

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

STEP_TOKENS_ROWS = 8
NUM_TIMED = 3
REACH = 3.0
LEAST_BYTES_PER_TOKEN = 1.75  # of a vocabulary of words and parts of words
# A stage is looked at every twentieth of it, on so many held-out tokens at most (the evaluation
# after it reads all of them), and not for more than this share of its time (`eval_cost`).
EVALUATIONS = 20
VALIDATION_TOKENS = 32_768
EVALUATING = 0.04
TRAINING_SHARE = 0.96  # the rest: saves, batches, rows of metrics, what watches over the run


class Text(NamedTuple):
    """The training text: its tokens; bytes a token of the held-out text, and its `repetition`."""

    tokens: int
    bytes_per_token: float
    repetition: float | None = None


def bytes_per_token(run: RunDirectory) -> float:
    split = read_json(run.shards / "index.json")["splits"]["validation"]
    return float(split["bytes"]) / max(1, int(split["tokens"]))


def tokenizer_kind(run: RunDirectory) -> str:
    """Of its tokenizer: bpe, char or byte."""
    stats = run.path / "tokenizer_stats.json"
    return str(read_json(stats)["config"]["kind"]) if stats.is_file() else "bpe"


def text_repetition(run: RunDirectory) -> float | None:
    """Of the held-out text, see `scaling.between`; None where tokens are bytes or characters, or
    few more than those. Bytes alone do not tell: a Chinese character is three."""
    from homespun.corpus import open_split

    if tokenizer_kind(run) != "bpe" or bytes_per_token(run) < LEAST_BYTES_PER_TOKEN:
        return None
    return repetition(open_split(run.shards, "validation"))


def shapes_to_choose(
    size: str | None, *, vocab_size: int, context: int, preset: Preset = PRESET
) -> list[DecoderConfig]:
    """All widths with the depth that goes with each; or the one size asked for.

    Raises:
        ConfigError: there is no such size.
    """
    from homespun.models import decoder_size

    if size is not None and not re.fullmatch(r"\d+x\d+", size):
        changes = changes_for(preset)
        return [
            decoder_size(
                size, vocab_size=vocab_size, context=context, preset=preset, changes=changes
            )
        ]
    wanted = [(width, None) for width in WIDTHS] if size is None else parse_shapes(size)
    return [
        decoder_shape(
            width=width,
            num_layers=layers,
            vocab_size=vocab_size,
            context=context,
            preset=preset,
        )
        for width, layers in wanted
    ]


def guessed_tokens(shape: DecoderConfig, seconds: float) -> float:
    """What `shape` reads in the time on a machine of `GUESSED_FLOPS`."""
    return GUESSED_FLOPS * seconds / size_of(shape).flops_per_token


def shapes_to_time(
    law: Law, shapes: Sequence[DecoderConfig], text: Text, seconds: float
) -> list[DecoderConfig]:
    """Three of the shapes, smallest first: the best by a guessed speed, and one on either side."""
    sizes = [size_of(shape) for shape in shapes]
    best = choose_shape(
        law,
        sizes,
        lambda size: GUESSED_FLOPS * seconds / size.flops_per_token,
        unique_tokens=text.tokens,
        bytes_per_token=text.bytes_per_token,
    )[0]
    place = sizes.index(best.size)
    chosen = sorted({max(0, place - 2), place, min(len(sizes) - 1, place + 2)})
    return [shapes[k] for k in chosen][:NUM_TIMED]


def choose_by_seconds(
    law: Law,
    shapes: Sequence[DecoderConfig],
    text: Text,
    speeds: Sequence[ShapeSpeed],
    seconds: float,
    *,
    reach: float = REACH,
) -> tuple[Outcome, DecoderConfig]:
    """The shape of least foretold loss among those not far beyond the ones that were timed: of
    `reach` times their operations at most.

    Not all of the time goes to training: a stage looks at held-out text `EVALUATIONS` times, a
    token of which costs a third of a training one, and saves.
    """
    measured = [speed.measured for speed in speeds]
    low = min(m.flops_per_token for m in measured) / reach
    high = max(m.flops_per_token for m in measured) * reach
    near = [shape for shape in shapes if low <= size_of(shape).flops_per_token <= high]
    near = near or [shapes[-1]]  # those that are left are all smaller
    sizes = [size_of(shape) for shape in near]
    best = choose_shape(
        law,
        sizes,
        lambda size: tokens_in(seconds, speed_at(measured, size.flops_per_token)),
        unique_tokens=text.tokens,
        bytes_per_token=text.bytes_per_token,
    )[0]
    rate = speed_at(measured, best.size.flops_per_token)
    needed = seconds * best.tokens / tokens_in(seconds, rate)
    return best._replace(seconds=needed), near[sizes.index(best.size)]


def tokens_read(
    shape: DecoderConfig, text: Text, speeds: Sequence[ShapeSpeed], seconds: float
) -> float:
    """Tokens that a stage of `seconds` trains `shape` on, in readings that are worth it."""
    size = size_of(shape)
    rate = speed_at([speed.measured for speed in speeds], size.flops_per_token)
    most = most_readings(size.parameters, text.tokens, is_beside_table=shape.ngram_prior)
    return max(1.0, min(tokens_in(seconds, rate), text.tokens * most))


def tokens_in(seconds: float, rate: float) -> float:
    """Tokens that a stage of so many seconds trains on, at `rate` tokens a second of steps."""
    looks = min(EVALUATIONS * VALIDATION_TOKENS / 3, EVALUATING * rate * seconds)
    return TRAINING_SHARE * rate * seconds - looks


def choose_by_steps(
    law: Law, shapes: Sequence[DecoderConfig], text: Text, tokens: int
) -> tuple[Outcome, DecoderConfig]:
    """The shape that suits so many tokens: with tokens fixed a larger one is always better, so the
    best is that of the budget for which these tokens would have been chosen, or as many new ones as
    they are worth where the text is read more than once."""
    from homespun.scaling.choose import outcome
    from homespun.scaling.law import optimal_parameters

    longer = text.bytes_per_token / law.bytes_per_token
    useful = worth_in_new(tokens, text.tokens, law.constants.data_reuse)
    wanted = optimal_parameters(law, useful * longer)
    # Beyond the runs the size grows as the text does at most, as all published laws have it.
    (_, largest), (_, longest) = law.valid["parameters"], law.valid["tokens"]
    wanted = min(wanted, largest * max(1.0, useful * longer / longest))
    shape = min(shapes, key=lambda shape: abs(size_of(shape).parameters - wanted))
    best = outcome(
        law,
        size_of(shape),
        tokens=tokens,
        unique_tokens=text.tokens,
        bytes_per_token=text.bytes_per_token,
    )
    return best._replace(tokens=tokens, epochs=tokens / max(1, text.tokens), seconds=0.0), shape
