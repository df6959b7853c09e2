"""The plan of a run: which shape, how long, how fast; measured once, then kept in plan.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import ConfigError, Progress, RunDirectory
from homespun.core.files import read_json, write_json
from homespun.core.machine import num_cores
from homespun.core.processes import process_place
from homespun.recipes.measure import (
    StepLoad,
    best_kernels,
    best_threads,
    expected_memory,
    judging_memory,
    needed_memory,
    resident_bytes,
    usual_overhead,
)
from homespun.recipes.plan.changes import (
    average_bytes,
    disk_bytes,
    foretells,
    read_changes,
)
from homespun.recipes.plan.checks import (
    NO_OPTIONS,
    PlanOptions,
    asked_for,
    check_preset,
    read_settings,
)
from homespun.recipes.plan.record import (
    SIDE_BY_SIDE,
    OtherPreset,
    PlanPrediction,
    RunPlan,
    Target,
    is_told,
    reach_text,
    regularised_text,
)
from homespun.recipes.plan.reread import Read, choose_regularisation
from homespun.recipes.scale.options import (
    Text,
    bytes_per_token,
    text_repetition,
    tokenizer_kind,
)
from homespun.recipes.scale.ramped import check_ramp, parse_ramp
from homespun.recipes.scale.room import (
    Room,
    check_room,
    find_room,
    rows_at_once,
    size_text,
    without_limit,
)
from homespun.recipes.scale.shapes import Preset, shape_name
from homespun.recipes.together import ALONE, Helpers, training_device
from homespun.scaling import format_duration
from homespun.scaling.choose import Calibration, Outcome, foretell, speed_at
from homespun.scaling.law import Prediction, times_beyond
from homespun.scaling.plan import MAX_EPOCHS
from homespun.scaling.rules import left_after_counting, settings_for

if TYPE_CHECKING:
    from homespun.recipes.scale.ask import Ask, Proposal
    from homespun.recipes.scale.propose import Decided

DEFAULT_SECONDS = 390.0  # what a ten-minute spin leaves for pretraining
CONTEXT = 256
DEFAULT_PRESET: Preset | None = None  # the one that is foretold the lower loss
# Where the model will be taught to chat: one beside a table came out 5% lower, but repeated itself
# in 42% of samples in place of 4% and answered worse (LOG.md).
CHAT_MARGIN = 0.1
GPU_IS_NOT_MEASURED = (
    "a plan of minutes measures this machine's processor, and a GPU will train: it reads far more "
    "in the time than is foretold, and could train a larger model; plan with --steps, and --size"
)


def make_run_plan(  # noqa: PLR0913 - what a plan is made for
    run: RunDirectory,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    size: str | None = None,
    preset: Preset | None = DEFAULT_PRESET,
    settings_file: Path | None = None,
    is_counted: bool = False,
    is_judged: bool = False,
    margin: float = 0.0,
    objective: Target = "causal",
    options: PlanOptions = NO_OPTIONS,
    helpers: Helpers = ALONE,
    progress: Progress,
) -> dict[str, Any]:
    """Measure, choose, write plan.json and return it.

    With `steps` nothing is measured: the choice must not depend on how busy the machine is. Then
    a shape is to fit into the memory there is, free or not, and what is not free is an error.

    Args:
        size: a named size, or width and layers as in "128x5", instead of the one of least loss.
        preset: asked for; None for the one that is foretold the lower loss.
        settings_file: of a search (`scale.tune`), whose values go before the rules'.
        is_counted: whether what measuring takes is taken from `seconds`.
        is_judged: whether this process goes on to evaluate what it has trained.
        margin: by what share fast must be foretold lower than portable to be taken unasked.
        objective: what the model will learn; only of causal ones is a loss foretold.
        options: what else was asked for.
        helpers: who will train along, and measures along.

    Raises:
        BudgetError: nothing fits into memory, or checkpoints do not fit on the disk.
    """
    import torch

    from homespun.models import best_compute_dtype, count_parameters
    from homespun.recipes.scale.ask import Ask
    from homespun.recipes.scale.propose import decide_by_seconds, decide_by_steps
    from homespun.tokenizer import load_tokenizer
    from homespun.training import set_threads

    vocab_size = load_tokenizer(run.path).vocab_size
    unique = options.text_tokens
    unique = unique or int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    ramp = parse_ramp(options.ramp)
    changes = read_changes(options.changes)
    if ramp is not None:
        check_ramp(ramp, num_tokens=unique)
    context = fitting_context(unique) if ramp is None else ramp.context
    seconds = seconds if seconds or steps else DEFAULT_SECONDS
    check_preset(preset)
    asked = {**asked_for(seconds, steps, size, preset), **options.asked()}
    kernels = best_kernels()
    if kernels.why:
        progress.say(kernels.why)
    if not steps and training_device() != "cpu":
        progress.say(GPU_IS_NOT_MEASURED)
    # In a container torch counts all the machine's cores; more threads than the share of them
    # stop each other.
    threads = min(torch.get_num_threads(), num_cores())
    set_threads(threads)
    tuned = read_settings(settings_file)
    size = size or tuned.size
    if preset and tuned.preset and preset != tuned.preset:
        raise ConfigError(
            f"the settings were found for models of the preset {tuned.preset}",
            got=preset,
            remedy=f"use --preset {tuned.preset}, or search again",
        )
    if preset is None and tuned.preset is not None:
        progress.say(f"{settings_file} was found for the preset {tuned.preset}, so that is planned")
    preset = preset or tuned.preset
    text = Text(unique, bytes_per_token(run), text_repetition(run))
    before = resident_bytes()
    room = find_room(options.memory, busy=not steps)
    kind = tokenizer_kind(run)
    ask = Ask(
        run=run,
        text=text,
        kind=kind,
        vocab_size=vocab_size,
        context=context,
        size=size,
        seconds=seconds,
        steps=steps,
        margin=margin,
        room=room,
        before=before,
        ramp=ramp,
        overhead=usual_overhead(),
        helpers=helpers,
        is_regularised=options.regularise,
        tuned=tuned,
    ).dropping(options.regularise or bool(tuned.dropout))
    if steps:
        decided = decide_by_steps(ask, preset)
    else:
        decided, seconds = decide_by_seconds(ask, preset, is_counted=is_counted, progress=progress)
    taken = decided.taken
    chosen, model = taken.chosen, taken.model
    regularised = choose_regularisation(
        chosen.size.parameters,
        Read(chosen.tokens, ask.text.tokens),
        is_asked=options.regularise,
        is_beside_table=taken.law.table is not None,
        tuned=tuned,
    )
    model = model.model_copy(update={"dropout": regularised.dropout})
    rows = max(ask.rows(chosen.tokens), process_place().size)  # one for each process at least
    batch_tokens = rows * context if ramp is None else ramp.batch_tokens
    # Of several processes each has its share of the cores.
    if not steps and process_place().size == 1 and 0.004 * (seconds or 0.0) > 0.5:
        known = speed_at([s.measured for s in taken.speeds], chosen.size.flops_per_token)
        span = min(2.0, 0.004 * (seconds or 0.0))
        load = StepLoad(rows, taken.parts, decided.beside, ramp)
        threads = best_threads(model, known, load, seconds=span)
    told = _told(run, ask, taken, decided.calibration)
    # Where the text is read often enough before the time is over, steps end the stage; on a machine
    # that has become slower since it was measured, time still does.
    training = left_after_counting(seconds, decided.counting) if seconds else 0.0
    capped = not steps and chosen.seconds < 0.98 * training
    expected_steps = steps or max(1, int(chosen.tokens // batch_tokens))
    num_steps = expected_steps if steps or capped else None
    settings = settings_for(
        chosen.size.parameters, chosen.tokens, context=context, preset=taken.preset
    )
    table_bytes = 0 if decided.beside is None else decided.beside.prior.num_bytes()
    needed = needed_memory(
        model,
        rows=rows_at_once(rows, taken.parts, process_place().size),
        before=before,
        overhead=decided.overhead,
        table_bytes=table_bytes,
        to_count=(0 if decided.beside else taken.table.order, unique),
    ) + average_bytes(model, changes)
    judged = judging_memory(model, before=before, table_bytes=table_bytes) if is_judged else 0
    # What is foretold is of telling every token from its past, and of the kernels for that.
    is_foretold = objective == "causal"
    plan = RunPlan(
        asked=asked,
        size=size or shape_name(model),
        parameters=count_parameters(model),
        model=model.model_dump(),
        rows=rows,
        seconds=None if steps else seconds,
        expected_seconds=None
        if steps or not is_foretold
        else round(min(chosen.seconds, training), 1),
        num_steps=num_steps,
        expected_tokens=chosen.tokens,
        expected_epochs=round(chosen.epochs, 3),
        speeds=[
            {"size": s.shape, **{k: v for k, v in s._asdict().items() if k != "shape"}}
            for s in taken.speeds
        ],
        reason=_reason(chosen, decided.calibration, how=_how_chosen(size, steps), capped=capped),
        threads=threads,
        kernels=kernels.name,
        compute_dtype=str(best_compute_dtype(training_device())).removeprefix("torch."),
        preset=taken.preset,
        prior_order=taken.table.order,
        prior_blocks=taken.table.blocks,
        prior_copies=taken.table.copies,
        learning_rate=tuned.learning_rate or settings.learning_rate * (tuned.rate_factor or 1.0),
        matrix_learning_rate=tuned.matrix_learning_rate
        or settings.matrix_learning_rate * (tuned.matrix_rate_factor or 1.0),
        warmup=settings.warmup if tuned.warmup is None else tuned.warmup,
        weight_decay=regularised.weight_decay,
        tuned=None if settings_file is None else tuned,
        objective=objective,
        prediction=None
        if not is_foretold
        else PlanPrediction(
            bits_per_byte=told.loss,
            low=told.low,
            high=told.high,
            provisional=taken.law.provisional,
            runs_sha256=taken.law.runs_sha256,
            repetition=ask.text.repetition,
            beyond=round(
                times_beyond(
                    taken.law,
                    float(chosen.size.parameters),
                    chosen.told * ask.text.bytes_per_token / taken.law.bytes_per_token,
                ),
                2,
            ),
            calibration=decided.calibration,
        ),
        other=_other(run, ask, decided) if is_foretold else None,
        memory_bytes=max(
            judged, expected_memory(needed, limit=None if room is None else room.limit)
        )
        if is_foretold
        else None,
        needed_bytes=needed if is_foretold else None,
        disk_bytes=disk_bytes(model, changes, table_bytes=table_bytes),
        parts=taken.parts,
        memory_note=_memory_note(room, taken, judged),
        ramp=None if ramp is None else ramp.model_dump(),
        ramp_steps=None if ramp is None else expected_steps,
        regularised_for=round(chosen.epochs, 3) if regularised.is_ruled else None,
        stop_early=options.stop_early,
        changes=changes,
    )
    check_room(run, plan)
    write_json(run.plan, plan.model_dump())
    progress.say(f"plan: {plan.size}, {plan.preset}, {plan.reason}")
    for sentence in (plan.memory_note, regularised_text(plan)):
        if sentence:
            progress.say(sentence)
    if plan.prediction is not None and not foretells(changes):
        progress.say("what it should reach is foretold for the plan's own settings, without --set")
    if plan.prediction is not None:
        progress.say(reach_text(told))
        if is_told(told):
            progress.say(SIDE_BY_SIDE)
    if plan.other is not None:
        progress.say(plan.other.in_words(plan.preset, told.loss))
    if capped and is_foretold:
        progress.say(f"pretraining will take about {format_duration(chosen.seconds)}")
    return plan.model_dump()


def _told(
    run: RunDirectory, ask: Ask, proposal: Proposal, calibration: Calibration | None
) -> Prediction:
    """As plan.json has it: what is said of a plan now is what is read of it later."""
    law = proposal.law
    own = law.corpus == str(run.record().asked.get("source"))  # a corpus by name, no folder
    told = foretell(
        law,
        proposal.chosen,
        unique_tokens=ask.text.tokens,
        bytes_per_token=ask.text.bytes_per_token,
        calibration=calibration,
        is_own_text=own,
    )
    return Prediction(*(round(bits, 4) for bits in told))


def _other(run: RunDirectory, ask: Ask, decided: Decided) -> OtherPreset | None:
    if decided.other is None:
        return None
    told = _told(run, ask, decided.other, decided.calibration)
    return OtherPreset(
        preset=decided.other.preset,
        size=shape_name(decided.other.model),
        bits_per_byte=told.loss,
    )


def fitting_context(num_tokens: int) -> int:
    """256 tokens, or less for a text too short to fill such rows twenty times."""
    context = CONTEXT
    while context > 32 and num_tokens < 20 * context:
        context //= 2
    return context


def _memory_note(room: Room | None, taken: Proposal, judged: int = 0) -> str:
    """What the memory there is changed, in a sentence, and whether evaluating, which takes `judged`
    bytes, goes beyond it; empty where neither is so."""
    notes = []
    if room is not None and taken.unlimited is not None:
        notes.append(without_limit(room, taken.unlimited))
    if room is not None and taken.parts > 1:
        notes.append(
            f"a step's rows are learned from in {taken.parts} parts, one after another, to fit "
            f"into {room.in_words()}"
        )
    if room is not None and judged > room.limit:
        notes.append(
            f"training fits into {room.in_words()}, evaluating at the end may take "
            f"{size_text(judged)}"
        )
    return "; ".join(notes)


def _how_chosen(size: str | None, steps: int | None) -> str:
    """By what a plan has its size; the least loss of so many steps would be that of the largest."""
    if size is not None:
        return "the size asked for"
    return "suited to so many tokens" if steps else "least predicted loss"


def _reason(chosen: Outcome, calibration: Calibration | None, *, how: str, capped: bool) -> str:
    count = chosen.size.parameters
    reason = (
        f"{how}: {count / 1e6:.2f}M parameters that every token is multiplied by "
        f"read {chosen.tokens / 1e6:.1f}M tokens, {chosen.tokens / count:.1f} for each"
    )
    if calibration is not None:
        reason += (
            f"; a pilot of {calibration.seconds:.0f} s reached {calibration.measured:.3f} bits"
        )
    if capped:
        end = "would teach little" if chosen.epochs >= MAX_EPOCHS else "would make it worse"
        reason += f"; the text is read {chosen.epochs:.3g} times, more {end}"
    return reason
