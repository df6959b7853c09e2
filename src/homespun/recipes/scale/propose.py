"""What each preset would come to in the time there is: a shape, a length and a loss, from the law.

One preset is planned for: its shapes are timed with what they train beside, a pilot flies. Of the
other one is said what it would have reached, by the law and a guess from the same measurements.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.core import BudgetError, Progress, RunDirectory
from homespun.recipes.measure import (
    COUNTING_BYTES,
    ShapeSpeed,
    TextBeside,
    measure_shapes,
    total_memory_bytes,
)
from homespun.recipes.scale.options import (
    Text,
    choose_by_seconds,
    choose_by_steps,
    guessed_tokens,
    shapes_to_choose,
    shapes_to_time,
)
from homespun.recipes.scale.shapes import Preset, shape_name
from homespun.scaling.between import law_for
from homespun.scaling.choose import Calibration, Outcome
from homespun.scaling.law import Law
from homespun.scaling.rules import (
    COUNTED_PER_SECOND,
    LOOKUP_SECONDS,
    TableSettings,
    left_after_counting,
    rows_for,
    table_for,
)

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

PRESETS: tuple[Preset, ...] = ("portable", "fast")
MOST_TIMED_AGAIN = 3
COUNTING_SHARE = 0.6  # of all memory that counting may take


class Ask(NamedTuple):
    """What a plan is asked for.

    Attributes:
        run: with tokenizer and shards.
        text: its training text. kind: of its tokenizer, bpe, char or byte.
        vocab_size, context: of the models.
        size: asked for; None for the best.
        seconds: of pretraining; None where `steps` are given.
        steps: instead; nothing is measured then.
        margin: by what share the fast preset must be foretold lower to be taken.
    """

    run: RunDirectory
    text: Text
    kind: str
    vocab_size: int
    context: int
    size: str | None
    seconds: float | None
    steps: int | None
    margin: float = 0.0

    def shapes(self, preset: Preset) -> list[DecoderConfig]:
        return shapes_to_choose(
            self.size, vocab_size=self.vocab_size, context=self.context, preset=preset
        )

    def law(self, preset: Preset) -> Law:
        return law_for(preset, self.text.repetition)

    def table(self, preset: Preset) -> TableSettings:
        return table_for(preset, self.kind)


class Proposal(NamedTuple):
    """Attributes:
    preset, law: by which it was chosen.
    chosen, model: size and length, and the shape.
    table: beside the model.
    speeds: measured, or guessed from another preset's; none where steps are given.
    """

    preset: Preset
    law: Law
    chosen: Outcome
    model: DecoderConfig
    table: TableSettings
    speeds: Sequence[ShapeSpeed] = ()


class Decided(NamedTuple):
    """Attributes:
    taken: the preset that is planned for, measured.
    other: what the other would come to; None where it cannot be asked for.
    calibration: of the pilot; None where there was no time for one.
    beside: what the taken one's models are timed and trained with, where that is a table.
    largest: the largest shape that was timed, and its rows.
    counting: seconds that counting the table took.
    """

    taken: Proposal
    other: Proposal | None
    calibration: Calibration | None
    beside: TextBeside | None
    largest: tuple[DecoderConfig, int] | None
    counting: float = 0.0


def decide_by_steps(ask: Ask, preset: Preset | None) -> Decided:
    """Nothing is measured: the choice must not depend on how busy the machine is.

    Args:
        preset: asked for; None for the better one, see `better_preset`.
    """
    assert ask.steps is not None
    found = {}
    for name in PRESETS:
        law = ask.law(name)
        chosen, model = choose_by_steps(law, ask.shapes(name), ask.text, ask.steps)
        found[name] = Proposal(name, law, chosen, model, ask.table(name))
    taken = _within_memory(ask, preset) or better_preset(ask, found["portable"], found["fast"])
    other = found["fast" if taken == "portable" else "portable"]
    return Decided(found[taken], other, None, None, None)


def decide_by_seconds(
    ask: Ask, preset: Preset | None, *, is_counted: bool, progress: Progress
) -> tuple[Decided, float]:
    """Measure, choose, fly a pilot.

    Args:
        preset: asked for; None for the better one, see `better_preset`.
        is_counted: whether what this takes is taken from the seconds.

    Returns:
        what was decided, and the seconds that are left for pretraining. What counting a table
        takes is among them: pretraining takes it off, whoever has counted.
    """
    from homespun.recipes.prior.kept import counting_seconds
    from homespun.recipes.scale.pilot import fly_pilot, pilot_seconds

    assert ask.seconds is not None
    preset = _within_memory(ask, preset)
    began = time.monotonic()
    budget = ask.seconds

    def left() -> float:
        return max(0.5 * budget, budget - (time.monotonic() - began)) if is_counted else budget

    each = min(3.0, max(0.5, 0.006 * budget))
    law = ask.law("portable")
    timed = shapes_to_time(law, ask.shapes("portable"), ask.text, budget)
    # Where portable is not asked for, one shape tells whether it is worth timing the others.
    first = timed if preset == "portable" else timed[1:2] or timed
    speeds = time_shapes(ask, first, each, progress=progress)
    portable = propose(ask, "portable", speeds, left())
    remaining, counting = left(), ask.text.tokens / COUNTED_PER_SECOND
    training = left_after_counting(remaining, counting)
    guessed = propose(ask, "fast", [_slowed(speed) for speed in speeds], training)
    if preset is None and training > remaining - counting:  # it would end late
        preset = "portable"
    taken = preset or better_preset(ask, portable, guessed)
    beside: TextBeside | None = None
    if taken == "fast":
        beside = count(ask, progress=progress)
        timed = shapes_to_time(ask.law("fast"), ask.shapes("fast"), ask.text, budget)
        speeds = time_shapes(ask, timed, each, beside=beside, progress=progress)
    elif rest := [shape for shape in timed if shape not in first]:
        speeds = [*speeds, *time_shapes(ask, rest, each, progress=progress)]
        speeds.sort(key=lambda speed: speed.flops_per_token)
    law = ask.law(taken)
    calibration = None
    if seconds := pilot_seconds(budget):
        calibration = fly_pilot(
            ask.run,
            law,
            vocab_size=ask.vocab_size,
            context=ask.context,
            seconds=seconds,
            beside=beside,
            progress=progress,
        )
    counting = 0.0 if beside is None else counting_seconds(ask.run)
    # What is given to pretraining, which takes counting off again.
    seconds = left() + (counting if is_counted else 0.0)
    mine = propose(ask, taken, speeds, left_after_counting(seconds, counting))
    for _ in range(MOST_TIMED_AGAIN):
        if shape_name(mine.model) in [speed.shape for speed in mine.speeds]:
            break
        # What lies between timed shapes may be a third faster: widths suit a processor or not.
        own = time_shapes(ask, [mine.model], each, beside=beside, progress=progress)
        speeds = sorted([*speeds, *own], key=lambda speed: speed.flops_per_token)
        seconds = left() + (counting if is_counted else 0.0)
        mine = propose(ask, taken, speeds, left_after_counting(seconds, counting))
    other = guessed if taken == "portable" else portable
    largest = (timed[-1], speeds[-1].rows)
    return Decided(mine, other, calibration, beside, largest, counting), seconds


def propose(ask: Ask, preset: Preset, speeds: Sequence[ShapeSpeed], seconds: float) -> Proposal:
    """The best shape of a preset by its law at these speeds."""
    law = ask.law(preset)
    chosen, model = choose_by_seconds(law, ask.shapes(preset), ask.text, speeds, seconds)
    return Proposal(preset, law, chosen, model, ask.table(preset), speeds)


def time_shapes(
    ask: Ask,
    shapes: Sequence[DecoderConfig],
    seconds: float,
    *,
    beside: TextBeside | None = None,
    progress: Progress,
) -> list[ShapeSpeed]:
    """Each for so many seconds, with the batches that it would train with."""
    budget = ask.seconds or 0.0
    return measure_shapes(
        shapes,
        lambda shape: rows_for(guessed_tokens(shape, budget), context=ask.context),
        seconds=seconds,
        beside=beside,
        progress=progress,
    )


def count(ask: Ask, *, progress: Progress) -> TextBeside:
    """The table of the run's training text, which the run keeps for pretraining."""
    from homespun.recipes.prior.kept import counted_text, keep_prior, read_prior, text_blocks

    settings = ask.table("fast")
    keep_prior(
        ask.run,
        order=settings.order,
        num_blocks=settings.blocks,
        copy_context=ask.context if settings.copies else None,
        vocab_size=ask.vocab_size,
        progress=progress,
    )
    text = counted_text(ask.run)
    blocks = text_blocks(text, settings.blocks)
    return TextBeside(text.tokens, read_prior(ask.run, whole=False), blocks)


def _within_memory(ask: Ask, preset: Preset | None) -> Preset | None:
    """The preset asked for; "portable" where none is and counting would not fit into memory.

    Raises:
        BudgetError: fast was asked for, and it would not.
    """
    if preset == "portable":
        return preset
    need = ask.table("fast").order * ask.text.tokens * COUNTING_BYTES
    have = total_memory_bytes()
    if need < COUNTING_SHARE * have:
        return preset
    if preset is None:
        return "portable"
    raise BudgetError(
        "counting the n-gram table of this text needs more memory than this machine has for it",
        got=f"{need / 1e9:.1f} GB of {have / 1e9:.1f} GB",
        remedy="use --portable, which needs no table, or less text",
    )


def better_preset(ask: Ask, portable: Proposal, fast: Proposal) -> Preset:
    """By bits per byte, which their laws have in common."""
    wanted = portable.chosen.loss * (1 - ask.margin)
    return "fast" if fast.chosen.loss < wanted else "portable"


def _slowed(speed: ShapeSpeed) -> ShapeSpeed:
    """The same shape beside a table, as a guess."""
    took = 1 / speed.tokens_per_second + LOOKUP_SECONDS
    return speed._replace(tokens_per_second=round(1 / took, 1))
