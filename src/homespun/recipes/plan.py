"""The plan of a run: which shape, how long, how fast; measured once, then kept in plan.json."""

from __future__ import annotations

from typing import Any, Literal

from homespun.core import Config, Progress, RunDirectory, RunError, parse_config
from homespun.core.files import read_json, write_json
from homespun.core.machine import num_cores
from homespun.recipes.kernels import best_kernels
from homespun.recipes.measure import best_threads, measure_speeds, sizes_worth_timing
from homespun.recipes.together import training_device
from homespun.scaling import TOKENS_PER_PARAMETER, Choice, Speed, choose_size, format_duration

FORMAT = 1
DEFAULT_SECONDS = 390.0  # what a ten-minute spin leaves for pretraining
CONTEXT = 256
ROWS = 8  # 8 x 256 = 2,048 tokens a step: small batches learn most per token, see LOG.md


class RunPlan(Config):
    """plan.json. `seconds` or `num_steps`, or both, limit pretraining; the rest follows from them.

    Attributes:
        asked: what the plan was made for.
        size, parameters: the named size and its count with this vocabulary.
        model: a `DecoderConfig`.
        rows: of `model.context` tokens, a step.
        seconds: of pretraining at most, None where steps were asked for.
        num_steps: of pretraining at most, None where the text is too long to be read often enough
            in `seconds`. Where both are given, whichever comes first ends pretraining.
        expected_tokens, expected_epochs: what pretraining will read.
        speeds: what was measured.
        reason: why this size, in words.
        compute_dtype: of activations and products.
        kernels: that train, "native" (compiled for this machine) or "torch"; the last bits of the
            result depend on it.
        threads: that train; the last bits of the result depend on it too.
    """

    format: int = FORMAT
    asked: dict[str, Any]
    size: str
    parameters: int
    model: dict[str, Any]
    rows: int
    seconds: float | None
    num_steps: int | None
    expected_tokens: int
    expected_epochs: float
    speeds: list[dict[str, Any]]
    reason: str
    compute_dtype: str
    kernels: Literal["torch", "native"] = "torch"  # in plans of before there was a choice
    threads: int


def make_run_plan(
    run: RunDirectory,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    size: str | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Measure, choose, write plan.json and return it.

    With `steps` nothing is measured: the choice must not depend on how busy the machine is.
    """
    import torch

    from homespun.models import best_compute_dtype, count_parameters, decoder_size
    from homespun.tokenizer import load_tokenizer
    from homespun.training import set_threads

    vocab_size = load_tokenizer(run.path).vocab_size
    unique = int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    context = fitting_context(unique)
    seconds = seconds if seconds or steps else DEFAULT_SECONDS
    speeds: list[Speed] = []
    kernels = best_kernels()
    if kernels.why:
        progress.say(kernels.why)
    # In a container torch counts all the machine's cores; more threads than the share of them
    # stop each other.
    threads = min(torch.get_num_threads(), num_cores())
    set_threads(threads)
    if steps:
        choice = _choice_for_steps(steps, size, unique, vocab_size=vocab_size, context=context)
    else:
        assert seconds is not None
        names = (
            [size] if size else sizes_worth_timing(seconds, vocab_size=vocab_size, context=context)
        )
        speeds = measure_speeds(
            names,
            vocab_size=vocab_size,
            context=context,
            rows=ROWS,
            seconds=min(3.0, max(0.5, 0.006 * seconds)),
            progress=progress,
        )
        choice = choose_size(speeds, seconds=seconds, unique_tokens=unique)
        threads = best_threads(
            next(speed for speed in speeds if speed.size == choice.size),
            vocab_size=vocab_size,
            context=context,
            rows=ROWS,
            seconds=min(2.0, max(0.5, 0.004 * seconds)),
        )
    model = decoder_size(choice.size, vocab_size=vocab_size, context=context)
    # Where the text is read often enough before the time is over, steps end the stage; on a machine
    # that has become slower since it was measured, time still does.
    capped = not steps and seconds is not None and choice.seconds < 0.98 * seconds
    num_steps = steps or (max(1, choice.tokens // (ROWS * context)) if capped else None)
    plan = RunPlan(
        asked=_asked(seconds, steps, size),
        size=choice.size,
        parameters=count_parameters(model),
        model=model.model_dump(),
        rows=ROWS,
        seconds=None if steps else seconds,
        num_steps=num_steps,
        expected_tokens=choice.tokens,
        expected_epochs=round(choice.epochs, 3),
        speeds=[speed._asdict() for speed in speeds],
        reason=choice.reason,
        threads=threads,
        kernels=kernels.name,
        compute_dtype=str(best_compute_dtype(training_device())).removeprefix("torch."),
    )
    write_json(run.plan, plan.model_dump())
    progress.say(f"plan: size {plan.size}, {choice.reason}")
    if capped:
        progress.say(f"pretraining will take about {format_duration(choice.seconds)}")
    return plan.model_dump()


def read_plan(run: RunDirectory) -> RunPlan:
    """Raises DataError, ConfigError or RunError where plan.json is damaged or of a later format."""
    value = read_json(run.plan)
    if not isinstance(value, dict):
        raise RunError(f"{run.plan} is not a plan", remedy="restore it from a copy")
    if value.get("format") != FORMAT:
        raise RunError(
            f"{run.plan} is of format {value.get('format')} and this version reads {FORMAT}",
            remedy="use the version that wrote it",
        )
    return parse_config(RunPlan, value, where=str(run.plan))


def check_not_begun(run: RunDirectory) -> None:
    """Raises RunError where pretraining has begun: what it was held to must not change."""
    if (run.stage("pretrain") / "config.json").is_file():
        raise RunError(
            f"pretraining of {run.path} has begun by its plan",
            remedy=f"make a new run for another plan, or {run.to_redo('plan')}",
        )


def check_plan(
    run: RunDirectory, *, seconds: float | None, steps: int | None, size: str | None
) -> None:
    """Raises RunError where the plan that is there was made for something else."""
    asked = read_plan(run).asked
    wanted = _asked(seconds, steps, size)
    for key, value in wanted.items():
        if value is not None and asked.get(key) != value:
            raise RunError(
                f"{run.plan} was made for {key} = {asked.get(key)}",
                got=value,
                remedy=f"leave --{key.replace('seconds', 'minutes')} out to continue by that plan, "
                f"or {run.to_redo('plan')}",
            )


def fitting_context(num_tokens: int) -> int:
    """256 tokens, or less for a text too short to fill such rows twenty times."""
    context = CONTEXT
    while context > 32 and num_tokens < 20 * context:
        context //= 2
    return context


def _asked(seconds: float | None, steps: int | None, size: str | None) -> dict[str, Any]:
    return {"seconds": seconds, "steps": steps, "size": size}


def _choice_for_steps(
    steps: int, size: str | None, unique: int, *, vocab_size: int, context: int
) -> Choice:
    """The size whose tokens per parameter suit a fixed number of steps."""
    from homespun.models import count_parameters, decoder_size, decoder_sizes

    tokens = steps * ROWS * context
    names = [size] if size else decoder_sizes()
    counts = {
        name: count_parameters(decoder_size(name, vocab_size=vocab_size, context=context))
        for name in names
    }

    def distance(name: str) -> float:
        ratio = tokens / counts[name] / TOKENS_PER_PARAMETER
        return max(ratio, 1 / ratio)

    best = min(counts, key=distance)
    return Choice(
        size=best,
        parameters=counts[best],
        tokens=tokens,
        epochs=tokens / max(1, unique),
        seconds=0.0,
        reason=f"{steps} steps read {tokens / 1e6:.2f}M tokens, "
        f"{tokens / counts[best]:.1f} for each of {counts[best] / 1e6:.2f}M parameters",
    )
