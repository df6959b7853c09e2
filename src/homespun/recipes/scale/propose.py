"""What each preset would come to in the time there is: a shape, a length and a loss, from the law.

One preset is planned for: its shapes are timed with what they train beside, a pilot flies. Of the
other one is said what it would have reached, by the law and a guess from the same measurements.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.core import BudgetError, DivergedError, Progress
from homespun.core.machine import peak_memory_bytes
from homespun.recipes.measure import (
    ShapeSpeed,
    StepLoad,
    TextBeside,
    counting_bytes,
    learned_overhead,
    measure_shapes,
    needed_memory,
    share_together,
)
from homespun.recipes.scale.ask import Ask, Proposal, has_dropout
from homespun.recipes.scale.options import (
    choose_by_seconds,
    choose_by_steps,
    guessed_tokens,
    shapes_to_time,
    tokens_read,
)
from homespun.recipes.scale.room import Fitting, fitting, too_long_to_count
from homespun.recipes.scale.shapes import Preset, shape_name, size_of
from homespun.scaling.choose import Calibration
from homespun.scaling.rules import (
    COUNTED_PER_SECOND,
    LOOKUP_SECONDS,
    before_counting,
    left_after_counting,
)

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

PRESETS: tuple[Preset, ...] = ("portable", "fast")
MOST_TIMED_AGAIN = 3
COUNTING_SHARE = 0.67  # of memory, in which a table is counted unasked: its need is a rough figure


class Decided(NamedTuple):
    """Attributes:
    taken: the preset that is planned for, measured.
    other: what the other would come to; None where it cannot be asked for.
    calibration: of the pilot; None where there was no time for one.
    beside: what the taken one's models are timed and trained with, where that is a table.
    overhead: as in `needed_memory`.
    counting: seconds that counting the table took.
    """

    taken: Proposal
    other: Proposal | None
    calibration: Calibration | None
    beside: TextBeside | None
    overhead: float
    counting: float = 0.0


def decide_by_steps(ask: Ask, preset: Preset | None) -> Decided:
    """Nothing is measured: the choice must not depend on how busy the machine is.

    Args:
        preset: asked for; None for the better one, see `better_preset`.
    """
    assert ask.steps is not None
    preset = _within_memory(ask, preset)
    tokens = ask.tokens_in_steps()
    found: dict[str, Proposal] = {}
    for name in PRESETS:
        law, shapes = ask.law(name), ask.shapes(name)
        fit = _fit_if_wanted(ask, name, lambda shape: ask.rows(tokens), must=preset or "portable")
        if fit is None:
            continue
        chosen, model = choose_by_steps(law, fit.shapes, ask.text, tokens)
        _, free = choose_by_steps(law, shapes, ask.text, tokens)
        unlimited = None if free == model else shape_name(free)
        parts = fit.parts_of(model)
        found[name] = Proposal(name, law, chosen, model, ask.table(name), (), parts, unlimited)
    taken = preset
    if taken is None:
        fast = found.get("fast")
        taken = "portable" if fast is None else better_preset(ask, found["portable"], fast)
    other = found.get("fast" if taken == "portable" else "portable")
    return Decided(found[taken], other, None, None, ask.overhead)


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
    fit = fit_guessed(ask, "portable")
    timed = shapes_to_time(law, fit.shapes, ask.text, budget)
    # Where portable is not asked for, one shape tells whether it is worth timing the others.
    first = timed if preset == "portable" else timed[1:2] or timed
    reached = peak_memory_bytes()
    load = StepLoad(_guessed_rows(ask)(first[-1]), fit.parts_of(first[-1]), ramp=ask.ramp)
    share = share_together(
        ask.run.path, first[-1], load, seconds=2 * each, helpers=ask.helpers, progress=progress
    )
    ask = ask._replace(share=share)
    speeds = time_shapes(ask, first, each, parts_of=fit.parts_of, progress=progress)
    portable = propose(ask, "portable", speeds, left())
    remaining, counting = left(), ask.text.tokens / COUNTED_PER_SECOND
    training = left_after_counting(remaining, counting)
    guessed = None
    if _fit_if_wanted(ask, "fast", _guessed_rows(ask), must=preset or "portable") is not None:
        guessed = propose(ask, "fast", [_slowed(speed) for speed in speeds], training)
    if preset is None and training > remaining - counting:  # it would end late
        preset = "portable"
    taken = preset
    if taken is None:
        taken = "portable" if guessed is None else better_preset(ask, portable, guessed)
    counted = None
    if taken == "fast":
        assert guessed is not None  # else it would not be taken
        of_fast = ask.dropping(has_dropout(ask, guessed))
        counted = _count_if_it_fits(of_fast, preset, progress=progress)
    beside: TextBeside | None = None
    if counted is not None:
        ask = of_fast
        beside, fit = counted
        timed = shapes_to_time(ask.law("fast"), fit.shapes, ask.text, budget)
        reached = peak_memory_bytes()
        speeds = time_shapes(
            ask, timed, each, parts_of=fit.parts_of, beside=beside, progress=progress
        )
    else:
        taken = "portable"
        rest = [shape for shape in timed if shape not in first]
        speeds = [*speeds, *time_shapes(ask, rest, each, parts_of=fit.parts_of, progress=progress)]
        speeds.sort(key=lambda speed: speed.flops_per_token)
    shown = learned_overhead(
        timed[-1],
        rows=speeds[-1].rows,
        before=ask.before,
        peaks=(reached, peak_memory_bytes()),
        table_bytes=0 if beside is None else beside.prior.num_bytes(),
    )
    overhead = ask.overhead if shown is None else shown
    law = ask.law(taken)
    calibration = None
    if seconds := pilot_seconds(budget):
        try:
            calibration = fly_pilot(
                ask.run,
                law,
                vocab_size=ask.vocab_size,
                context=ask.context,
                seconds=seconds,
                beside=beside,
                progress=progress,
            )
        except DivergedError as error:
            progress.say(f"what to expect is told without a pilot, which failed: {error.what}")
    counting = 0.0 if beside is None else counting_seconds(ask.run)

    def given() -> float:
        """To pretraining, which takes counting off again."""
        return before_counting(left(), counting) if is_counted else left()

    seconds = given()

    def best() -> Proposal:
        training = left_after_counting(seconds, counting)
        return propose(ask, taken, speeds, training, beside=beside, overhead=overhead)

    mine = best()
    for _ in range(MOST_TIMED_AGAIN):
        ask = ask.dropping(has_dropout(ask, mine))
        shape = mine.model.model_copy(update={"dropout": ask.dropout})
        if (shape_name(shape), shape.dropout > 0) in [(s.shape, s.drops) for s in mine.speeds]:
            break
        # What lies between timed shapes may be a third faster: widths suit a processor or not.
        (own,) = time_shapes(
            ask,
            [shape],
            each,
            parts_of=mine._replace(model=shape).parts_of,
            beside=beside,
            progress=progress,
        )
        others = [speed for speed in speeds if speed.shape != own.shape]
        speeds = sorted([*others, own], key=lambda speed: speed.flops_per_token)
        seconds = given()
        mine = best()
    other = guessed if taken == "portable" else portable
    return Decided(mine, other, calibration, beside, overhead, counting), seconds


def propose(
    ask: Ask,
    preset: Preset,
    speeds: Sequence[ShapeSpeed],
    seconds: float,
    *,
    beside: TextBeside | None = None,
    overhead: float | None = None,
) -> Proposal:
    """The best shape of a preset by its law at these speeds, of those that fit into memory.

    Raises:
        BudgetError: none fits.
    """
    law = ask.law(preset)
    fit = fit_shapes(
        ask,
        preset,
        lambda shape: ask.rows(tokens_read(shape, ask.text, speeds, seconds)),
        beside=beside,
        overhead=overhead,
    )
    chosen, model = choose_by_seconds(law, fit.shapes, ask.text, speeds, seconds)
    unlimited = None
    if fit.left_out:
        _, free = choose_by_seconds(
            law, ask.shapes(preset), ask.text, speeds, seconds, reach=math.inf
        )
        # What was only beyond the reach of this choice is not memory's fault.
        is_barred = free not in fit.shapes and size_of(free).parameters > size_of(model).parameters
        unlimited = free if is_barred else None
    return Proposal(
        preset,
        law,
        chosen,
        model,
        ask.table(preset),
        speeds,
        fit.parts_of(model),
        None if unlimited is None else shape_name(unlimited),
    )


def fit_shapes(
    ask: Ask,
    preset: Preset,
    rows_of: Callable[[DecoderConfig], int],
    *,
    beside: TextBeside | None = None,
    overhead: float | None = None,
) -> Fitting:
    """The shapes of a preset that can be trained in the memory there is, see `room.fitting`.

    Args:
        rows_of: rows of a step of a shape.
        beside: the table, where it is counted already.
        overhead: as in `needed_memory`; None for what it usually is.
    """
    table_bytes = 0 if beside is None else beside.prior.num_bytes()
    to_count = (0 if beside is not None else ask.table(preset).order, ask.text.tokens)

    def need(shape: DecoderConfig, rows: int) -> int:
        return needed_memory(
            shape,
            rows=rows,
            before=ask.before,
            overhead=ask.overhead if overhead is None else overhead,
            table_bytes=table_bytes,
            to_count=to_count,
        )

    return fitting(ask.shapes(preset), ask.room, rows_of=rows_of, need=need)


def fit_guessed(ask: Ask, preset: Preset, *, beside: TextBeside | None = None) -> Fitting:
    """The same with the rows of a guessed speed, before anything is timed."""
    return fit_shapes(ask, preset, _guessed_rows(ask), beside=beside)


def _guessed_rows(ask: Ask) -> Callable[[DecoderConfig], int]:
    """Rows of a step of a shape, by a guess at its speed."""
    budget = ask.seconds or 0.0
    return lambda shape: ask.rows(guessed_tokens(shape, budget))


def _fit_if_wanted(
    ask: Ask,
    preset: Preset,
    rows_of: Callable[[DecoderConfig], int],
    *,
    must: Preset,
    beside: TextBeside | None = None,
) -> Fitting | None:
    """None where a preset that need not be taken does not fit."""
    try:
        return fit_shapes(ask, preset, rows_of, beside=beside)
    except BudgetError:
        if preset == must:
            raise
        return None


def _count_if_it_fits(
    ask: Ask, preset: Preset | None, *, progress: Progress
) -> tuple[TextBeside, Fitting] | None:
    """The table of the fast preset and the shapes that fit beside it; None where none does and it
    was not asked for: only once it is counted is it known how large it is."""
    beside = count(ask, progress=progress)
    fit = _fit_if_wanted(ask, "fast", _guessed_rows(ask), must=preset or "portable", beside=beside)
    return None if fit is None else (beside, fit)


def time_shapes(
    ask: Ask,
    shapes: Sequence[DecoderConfig],
    seconds: float,
    *,
    parts_of: Callable[[DecoderConfig], int],
    beside: TextBeside | None = None,
    progress: Progress,
) -> list[ShapeSpeed]:
    """Each for so many seconds, with the batches that it would train with, in as many parts."""
    if not shapes:
        return []
    rows_of = _guessed_rows(ask)
    return measure_shapes(
        shapes,
        lambda shape: StepLoad(rows_of(shape), parts_of(shape), beside, ask.ramp),
        seconds=seconds,
        is_thrifty=ask.room is not None and ask.room.is_small,
        share=ask.share,
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
    """The preset asked for; "portable" where none is and counting might not fit into memory.

    Raises:
        BudgetError: fast was asked for, and it would not.
    """
    if preset == "portable":
        return preset
    need = ask.before + counting_bytes(ask.table("fast").order, ask.text.tokens)
    share = COUNTING_SHARE if preset is None else 1.0
    if ask.room is None or need <= share * ask.room.limit:
        return preset
    if preset is None:
        return "portable"
    raise too_long_to_count(
        need, ask.room, remedy="use --portable, which needs no table, or less text"
    )


def better_preset(ask: Ask, portable: Proposal, fast: Proposal) -> Preset:
    """By bits per byte, which their laws have in common."""
    wanted = portable.chosen.loss * (1 - ask.margin)
    return "fast" if fast.chosen.loss < wanted else "portable"


def _slowed(speed: ShapeSpeed) -> ShapeSpeed:
    """The same shape beside a table, as a guess."""
    took = 1 / speed.tokens_per_second + LOOKUP_SECONDS
    return speed._replace(tokens_per_second=round(1 / took, 1))
