"""The plan of a run: which shape, how long, how fast; measured once, then kept in plan.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from homespun.core import (
    Config,
    ConfigError,
    Progress,
    RunDirectory,
    RunError,
    did_you_mean,
    parse_config,
)
from homespun.core.files import read_json, write_json
from homespun.core.machine import num_cores
from homespun.core.processes import process_place
from homespun.recipes.measure import (
    best_kernels,
    best_threads,
    expected_disk,
    expected_memory,
    resident_bytes,
)
from homespun.recipes.scale.options import Text, bytes_per_token, text_repetition
from homespun.recipes.scale.shapes import Preset, shape_name
from homespun.recipes.scale.tuned import TunedSettings
from homespun.recipes.together import training_device
from homespun.scaling import format_duration
from homespun.scaling.choose import Calibration, Outcome, foretell, speed_at
from homespun.scaling.law import Prediction, times_beyond
from homespun.scaling.plan import MAX_EPOCHS
from homespun.scaling.rules import left_after_counting, rows_for, settings_for

if TYPE_CHECKING:
    from homespun.recipes.scale.propose import Ask, Decided, Proposal

FORMAT = 2
READ_FORMATS = (1, 2)  # 1 had no rates, no prediction, no memory
DEFAULT_SECONDS = 390.0  # what a ten-minute spin leaves for pretraining
CONTEXT = 256
DEFAULT_PRESET: Preset | None = None  # the one that is foretold the lower loss
# Where the model will be taught to chat: one beside a table came out 5% lower, but repeated itself
# in 42% of samples in place of 4% and answered worse (LOG.md).
CHAT_MARGIN = 0.1
ROWS = 8  # 8 x 256 = 2,048 tokens a step, where steps are given instead of time


class PlanPrediction(Config):
    """Bits per byte of the validation text at the end, with a 95% interval, and what it rests on.

    Attributes:
        provisional: the law was fitted to a small sweep.
        runs_sha256: of the runs the law was fitted to.
        repetition: of the text, by which the law was chosen; None in plans of before.
        beyond: operations of the run, in those of the law's largest; 1 where it is no larger.
        calibration: what a short training said of this text, None where there was no time for it.
    """

    bits_per_byte: float
    low: float
    high: float
    provisional: bool
    runs_sha256: str
    repetition: float | None = None
    beyond: float = 1.0
    calibration: Calibration | None


class OtherPreset(Config):
    """What the preset that the plan does not take was foretold to reach in the same time, by its
    law and the same pilot, at a speed that was guessed from the other's where it is the fast one.
    """

    preset: Preset
    size: str
    bits_per_byte: float

    def in_words(self, taken: str, bits_per_byte: float) -> str:
        """A sentence that says what `taken` costs or gains."""
        percent = 100 * (bits_per_byte / self.bits_per_byte - 1)
        state = "above" if percent > 0 else "below"
        why = "which other tools can read" if taken == "portable" else "which only Homespun reads"
        return (
            f"{taken}, {why}, is foretold {bits_per_byte:.3f} bits per byte, {abs(percent):.1f}% "
            f"{state} the {self.bits_per_byte:.3f} of {self.preset}"
        )


Target = Literal["causal", "prefix", "blank"]
TARGETS: tuple[Target, ...] = get_args(Target)


class RunPlan(Config):
    """plan.json. `seconds` or `num_steps`, or both, limit pretraining; the rest follows from them.

    Attributes:
        asked: what the plan was made for.
        size, parameters: width and layers, or the named size asked for, and its count.
        model: a `DecoderConfig`.
        rows: of `model.context` tokens, a step.
        seconds: of pretraining at most, None where steps were asked for.
        num_steps: of pretraining at most, None where the text is too long to be read often enough
            in `seconds`. Where both are given, whichever comes first ends pretraining.
        expected_seconds: of pretraining, less than `seconds` where the text is read often enough
            before; None where steps were asked for.
        expected_tokens, expected_epochs: what pretraining will read.
        speeds: what was measured.
        reason: why this size, in words.
        compute_dtype: of activations and products.
        kernels: that train, "native" (compiled for this machine) or "torch"; the last bits of the
            result depend on it.
        threads: that train; the last bits of the result depend on it too.
        preset: whose parts the model has and whose settings it is trained with.
        prior_order: longest n-gram of the table beside the model, 0 for none; `model.ngram_prior`
            says the same. prior_copies: whether it looks at its context. prior_blocks: parts of
            the text, each trained on with its own counts left out.
        learning_rate, matrix_learning_rate, warmup, weight_decay: by `scaling.rules` or a search;
            None, as in plans of format 1, leaves them to `learn`.
        objective: what the model learns, see `learn.targets`.
        tuned: settings of a search that the plan took over; None for none.
        prediction: of the loss. other: what the preset not taken would come to.
        memory_bytes: at the most. disk_bytes: of checkpoints.
    """

    format: int = FORMAT
    asked: dict[str, Any]
    size: str
    parameters: int
    model: dict[str, Any]
    rows: int
    seconds: float | None
    num_steps: int | None
    expected_seconds: float | None = None
    expected_tokens: int
    expected_epochs: float
    speeds: list[dict[str, Any]]
    reason: str
    compute_dtype: str
    kernels: Literal["torch", "native"] = "torch"  # in plans of before there was a choice
    threads: int
    preset: Preset = "portable"
    prior_order: int = 0
    prior_blocks: int = 8
    prior_copies: bool = False
    learning_rate: float | None = None
    matrix_learning_rate: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    objective: Target = "causal"
    tuned: TunedSettings | None = None
    prediction: PlanPrediction | None = None
    other: OtherPreset | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


def make_run_plan(  # noqa: PLR0913 - what a plan is made for
    run: RunDirectory,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    size: str | None = None,
    preset: Preset | None = DEFAULT_PRESET,
    settings_file: Path | None = None,
    is_counted: bool = False,
    margin: float = 0.0,
    progress: Progress,
) -> dict[str, Any]:
    """Measure, choose, write plan.json and return it.

    With `steps` nothing is measured: the choice must not depend on how busy the machine is.

    Args:
        size: a named size, or width and layers as in "128x5", instead of the one of least loss.
        preset: asked for; None for the one that is foretold the lower loss.
        settings_file: of a search (`scale.tune`), whose values go before the rules'.
        is_counted: whether what measuring takes is taken from `seconds`.
        margin: by what share fast must be foretold lower than portable to be taken unasked.
    """
    import torch

    from homespun.models import best_compute_dtype, count_parameters
    from homespun.recipes.scale.propose import Ask, decide_by_seconds, decide_by_steps
    from homespun.tokenizer import load_tokenizer
    from homespun.training import set_threads

    vocab_size = load_tokenizer(run.path).vocab_size
    unique = int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    context = fitting_context(unique)
    seconds = seconds if seconds or steps else DEFAULT_SECONDS
    check_preset(preset)
    asked = _asked(seconds, steps, size, preset)
    kernels = best_kernels()
    if kernels.why:
        progress.say(kernels.why)
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
    preset = preset or tuned.preset
    text = Text(unique, bytes_per_token(run), text_repetition(run))
    ask = Ask(run, text, _kind(run), vocab_size, context, size, seconds, steps, margin)
    before = resident_bytes()
    if steps:
        decided = decide_by_steps(ask, preset)
    else:
        decided, seconds = decide_by_seconds(ask, preset, is_counted=is_counted, progress=progress)
    taken = decided.taken
    chosen, model = taken.chosen, taken.model
    if tuned.dropout is not None:
        model = model.model_copy(update={"dropout": tuned.dropout})
    rows = _rows_of(chosen, steps, context)
    if not steps and 0.004 * (seconds or 0.0) > 0.5:
        known = speed_at([s.measured for s in taken.speeds], chosen.size.flops_per_token)
        span = min(2.0, 0.004 * (seconds or 0.0))
        threads = best_threads(model, known, rows=rows, seconds=span, beside=decided.beside)
    told = _told(run, ask, taken, decided.calibration)
    # Where the text is read often enough before the time is over, steps end the stage; on a machine
    # that has become slower since it was measured, time still does.
    training = left_after_counting(seconds, decided.counting) if seconds else 0.0
    capped = not steps and chosen.seconds < 0.98 * training
    num_steps = steps or (max(1, chosen.tokens // (rows * context)) if capped else None)
    settings = settings_for(
        chosen.size.parameters, chosen.tokens, context=context, preset=taken.preset
    )
    table_bytes = 0 if decided.beside is None else decided.beside.prior.num_bytes()
    plan = RunPlan(
        asked=asked,
        size=size or shape_name(model),
        parameters=count_parameters(model),
        model=model.model_dump(),
        rows=rows,
        seconds=None if steps else seconds,
        expected_seconds=None if steps else round(min(chosen.seconds, training), 1),
        num_steps=num_steps,
        expected_tokens=chosen.tokens,
        expected_epochs=round(chosen.epochs, 3),
        speeds=[
            {"size": s.shape, **{k: v for k, v in s._asdict().items() if k != "shape"}}
            for s in taken.speeds
        ],
        reason=_reason(chosen, decided.calibration, capped=capped),
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
        warmup=tuned.warmup or settings.warmup,
        weight_decay=tuned.weight_decay,
        tuned=None if settings_file is None else tuned,
        prediction=PlanPrediction(
            bits_per_byte=round(told.loss, 4),
            low=round(told.low, 4),
            high=round(told.high, 4),
            provisional=taken.law.provisional,
            runs_sha256=taken.law.runs_sha256,
            repetition=ask.text.repetition,
            beyond=round(
                times_beyond(
                    taken.law,
                    float(chosen.size.parameters),
                    chosen.tokens * ask.text.bytes_per_token / taken.law.bytes_per_token,
                ),
                2,
            ),
            calibration=decided.calibration,
        ),
        other=_other(run, ask, decided),
        memory_bytes=expected_memory(
            model,
            rows=rows,
            before=before,
            largest=decided.largest,
            table_bytes=table_bytes,
            to_count=(0 if decided.beside else taken.table.order, unique),
        ),
        disk_bytes=expected_disk(model, table_bytes=table_bytes),
    )
    write_json(run.plan, plan.model_dump())
    progress.say(f"plan: {plan.size}, {plan.preset}, {plan.reason}")
    progress.say(
        f"it should reach {told.loss:.3f} bits per byte ({told.low:.3f} to {told.high:.3f})"
    )
    if plan.other is not None:
        progress.say(plan.other.in_words(plan.preset, told.loss))
    if capped:
        progress.say(f"pretraining will take about {format_duration(chosen.seconds)}")
    return plan.model_dump()


def _told(
    run: RunDirectory, ask: Ask, proposal: Proposal, calibration: Calibration | None
) -> Prediction:
    law = proposal.law
    own = law.corpus == str(run.record().asked.get("source"))  # a corpus by name, no folder
    return foretell(
        law,
        proposal.chosen,
        unique_tokens=ask.text.tokens,
        bytes_per_token=ask.text.bytes_per_token,
        calibration=calibration,
        is_own_text=own,
    )


def _other(run: RunDirectory, ask: Ask, decided: Decided) -> OtherPreset | None:
    if decided.other is None:
        return None
    told = _told(run, ask, decided.other, decided.calibration)
    return OtherPreset(
        preset=decided.other.preset,
        size=shape_name(decided.other.model),
        bits_per_byte=round(told.loss, 4),
    )


def _kind(run: RunDirectory) -> str:
    """Of the tokenizer: bpe, char or byte."""
    stats = run.path / "tokenizer_stats.json"
    return str(read_json(stats)["config"]["kind"]) if stats.is_file() else "bpe"


def read_plan(run: RunDirectory) -> RunPlan:
    """Raises DataError, ConfigError or RunError where plan.json is damaged or of a later format."""
    value = read_json(run.plan)
    if not isinstance(value, dict):
        raise RunError(f"{run.plan} is not a plan", remedy="restore it from a copy")
    if value.get("format") not in READ_FORMATS:
        raise RunError(
            f"{run.plan} is of format {value.get('format')} and this version reads up to {FORMAT}",
            remedy="use the version that wrote it",
        )
    return parse_config(RunPlan, value, where=str(run.plan))


def read_settings(path: Path | None) -> TunedSettings:
    """What a search found; nothing without a file.

    Raises:
        DataError, ConfigError: the file is missing or is something else.
    """
    if path is None:
        return TunedSettings()
    value = read_json(path)
    if not isinstance(value, dict):
        raise RunError(f"{path} is not a file of settings", remedy="make one with `homespun tune`")
    return parse_config(TunedSettings, value, where=str(path))


def check_preset(preset: str | None) -> None:
    """Raises ConfigError where there is no preset of that name."""
    if preset not in (None, "portable", "fast"):
        raise ConfigError(
            "there is no preset of that name",
            got=preset,
            remedy=did_you_mean(str(preset), ["portable", "fast"]),
        )


def check_not_begun(run: RunDirectory) -> None:
    """Raises RunError where pretraining has begun: what it was held to must not change."""
    if (run.stage("pretrain") / "config.json").is_file():
        raise RunError(
            f"pretraining of {run.path} has begun by its plan",
            remedy=f"make a new run for another plan, or {run.to_redo('plan')}",
        )


def check_plan(
    run: RunDirectory,
    *,
    seconds: float | None,
    steps: int | None,
    size: str | None,
    preset: Preset | None = None,
) -> None:
    """Raises RunError where the plan that is there was made for something else."""
    plan = read_plan(run)
    if preset is not None and preset != plan.preset:
        raise RunError(
            f"{run.plan} is for the preset {plan.preset}",
            got=preset,
            remedy="leave --preset and --portable out to continue by that plan, "
            f"or {run.to_redo('plan')}",
        )
    asked = plan.asked
    wanted = _asked(seconds, steps, size, None)
    for key, value in wanted.items():
        if value is not None and asked.get(key) != value:
            raise RunError(
                f"{run.plan} was made for {key} = {asked.get(key)}",
                got=value,
                remedy=f"leave --{key.replace('seconds', 'minutes')} out to continue by that plan, "
                f"or {run.to_redo('plan')}",
            )


def check_settings(run: RunDirectory, settings_file: Path | None) -> None:
    """Raises RunError where the plan that is there was made without these settings. The same ones
    again are what a killed command is repeated with."""
    if settings_file is None:
        return
    if read_plan(run).tuned != read_settings(settings_file):
        raise RunError(
            f"{run.plan} was made without these settings",
            got=settings_file,
            remedy=f"leave --settings out to continue by that plan, or {run.to_redo('plan')}",
        )


def fitting_context(num_tokens: int) -> int:
    """256 tokens, or less for a text too short to fill such rows twenty times."""
    context = CONTEXT
    while context > 32 and num_tokens < 20 * context:
        context //= 2
    return context


def _asked(
    seconds: float | None, steps: int | None, size: str | None, preset: Preset | None
) -> dict[str, Any]:
    return {"seconds": seconds, "steps": steps, "size": size, "preset": preset}


def _rows_of(chosen: Outcome, steps: int | None, context: int) -> int:
    """Of a step, one for each process at least. A number of steps says nothing of tokens unless the
    rows are fixed."""
    rows = ROWS if steps else rows_for(chosen.tokens, context=context)
    return max(rows, process_place().size)


def _reason(chosen: Outcome, calibration: Calibration | None, *, capped: bool) -> str:
    count = chosen.size.parameters
    reason = (
        f"least predicted loss: {count / 1e6:.2f}M parameters that every token is multiplied by "
        f"read {chosen.tokens / 1e6:.1f}M tokens, {chosen.tokens / count:.1f} for each"
    )
    if calibration is not None:
        reason += (
            f"; a pilot of {calibration.seconds:.0f} s reached {calibration.measured:.3f} bits"
        )
    if capped:
        reason += f"; the text is read {MAX_EPOCHS:g} times, more would teach little"
    return reason
