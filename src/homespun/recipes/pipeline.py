"""`spin`: from a folder of text to a model you can talk to, in the minutes there are."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.core import (
    BudgetError,
    ConfigError,
    DataError,
    Progress,
    RunDirectory,
    Silent,
    WorkClock,
    did_you_mean,
)
from homespun.recipes import learn, texts
from homespun.recipes.judge import ensure_evaluation, ensure_report
from homespun.recipes.plan import (
    CHAT_MARGIN,
    DEFAULT_PRESET,
    NO_OPTIONS,
    PlanOptions,
    check_preset,
    make_run_plan,
    read_changes,
)
from homespun.recipes.process import prepare_process
from homespun.recipes.run import Run
from homespun.recipes.scale.ramped import ramp_settings
from homespun.recipes.timing import Timings
from homespun.recipes.together import Helpers, check_strategy, led
from homespun.scaling import format_duration, split_budget

if TYPE_CHECKING:
    from homespun.recipes.scale.shapes import Preset
    from homespun.training.distributed import World

MAX_MINUTES = 60.0 * 24 * 30
MIN_MINUTES = 0.5
LEAST_PRETRAIN_SHARE = 0.3
LEAST_CHAT_SHARE = 0.05


def spin(  # noqa: PLR0913 - the command, as one call
    source: str | Path | None = None,
    *,
    minutes: float = 10.0,
    name: str | None = None,
    chat: str | Path | None = None,
    language: str = "auto",
    seed: int = 0,
    steps: int | None = None,
    preset: Preset | None = None,
    objective: str | None = None,
    options: PlanOptions = NO_OPTIONS,
    runs: str | Path = "runs",
    strategy: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Do the whole job, or continue it where it stopped.

    Args:
        source: a folder, a file, or the name of a corpus; None is the corpus "python".
        minutes: working time for everything, from reading the text to the report.
        name: the run's folder inside `runs`; by default after the source.
        chat: conversations to learn from (JSONL); by default they are made from the text.
        language: "auto", or a language code that documents must have.
        seed: of everything random.
        steps: a fixed number of pretraining steps in place of a budget of minutes; the result is
            then the same to the last bit on the same machine.
        preset: "portable" for a model that other tools can read, "fast" for what learns most in
            the time there is; None for portable unless fast is foretold a tenth less loss.
        objective: "causal"; other models cannot be taught to chat.
        options: what else the plan is asked for.
        runs: where runs live.
        strategy: under torchrun, "ddp" or "fsdp", see `ParallelConfig`.
        progress: who is told how far it is; nobody by default. To see it, pass what
            `with homespun.cli.progress.open_progress() as progress` gives.

    Raises:
        ConfigError, DataError, BudgetError, RunError: as their messages say; nothing is left behind
            of a run that could not begin.
    """
    prepare_process()

    def work(world: World | None) -> str:
        path = _whole_job(
            source,
            minutes=minutes,
            name=name,
            chat=chat,
            language=language,
            seed=seed,
            steps=steps,
            preset=preset,
            objective=objective,
            options=options,
            runs=runs,
            helpers=Helpers(world, strategy),
            progress=progress or Silent(),
        )
        return str(path)

    return Run(led(work))


def _whole_job(  # noqa: PLR0913 - what `spin` was asked
    source: str | Path | None,
    *,
    minutes: float,
    name: str | None,
    chat: str | Path | None,
    language: str,
    seed: int,
    steps: int | None,
    preset: Preset | None,
    objective: str | None,
    options: PlanOptions,
    runs: str | Path,
    helpers: Helpers,
    progress: Progress,
) -> Path:
    """The run's folder, finished."""
    say = progress
    check_settings(minutes=minutes, steps=steps, seed=seed)
    check_preset(preset)
    check_strategy(helpers.strategy)
    _check_objective(objective)
    if options.ramp is not None:
        ramp_settings(options.ramp)
    read_changes(options.changes)
    place = source_name(source)
    texts.corpus_config(language, seed)
    chat_file = texts.check_chat_file(chat)
    asked = {
        "command": "spin",
        "source": place,
        "minutes": minutes,
        "steps": steps,
        "language": language,
        "chat": str(chat_file) if chat_file else None,
    }
    if preset is not None:
        asked["preset"] = preset
    asked |= options.asked()
    if options.changes:
        asked["set"] = list(options.changes)
    if name is not None and (not name or Path(name).name != name):
        raise ConfigError(
            "a run's name is one folder name", got=name, remedy="choose it without slashes"
        )
    path = Path(runs) / (name if name is not None else default_name(place))
    is_new = not (path / "run.json").exists()
    run = RunDirectory.create(path, asked=asked, seed=seed)
    with run.locked() as clock:
        if run.report.is_file():
            say.say(f"{run.path} is finished; choose another --name to spin again")
            return run.path
        with undone_if_nothing(run, is_new):
            texts.ensure_corpus(run, place, language=language, seed=seed, progress=say)
        _spin(
            run,
            place,
            chat_file,
            minutes=minutes,
            steps=steps,
            preset=preset,
            options=options,
            helpers=helpers,
            clock=clock,
            progress=say,
        )
    return run.path


def _spin(  # noqa: PLR0913 - what `spin` was asked
    run: RunDirectory,
    source: str,
    chat_file: Path | None,
    *,
    minutes: float,
    steps: int | None,
    preset: Preset | None,
    options: PlanOptions,
    helpers: Helpers,
    clock: WorkClock,
    progress: Progress,
) -> None:
    """Everything after the corpus, in order; what is done already is passed over."""
    total = 60.0 * minutes
    seed = run.record().seed
    timings = Timings(run.path / "timings.json", clock)
    timings.mark("corpus", start=0.0)
    with timings.stage("conversations"):
        texts.ensure_conversations(run, source, chat_file, seed=seed, progress=progress)
    with timings.stage("tokenizer"):
        tokenizer = texts.ensure_tokenizer(run, progress=progress)
        texts.ensure_shards(run, tokenizer, progress=progress)
    with timings.stage("baselines"):
        texts.ensure_baselines(run, tokenizer, seconds=max(5.0, 0.08 * total), progress=progress)
    with timings.stage("plan"):
        if not run.plan.is_file():
            # A run of so many steps takes as long as it takes, however slow the stages before were.
            seconds = None if steps else _seconds_to_pretrain(total, clock, progress)
            make_run_plan(
                run,
                seconds=seconds,
                steps=steps,
                preset=preset or DEFAULT_PRESET,
                is_counted=True,
                is_judged=True,
                margin=CHAT_MARGIN,
                options=options,
                helpers=helpers,
                progress=progress,
            )
    with timings.stage("pretrain"):
        learn.ensure_pretrained(run, helpers=helpers, clock=clock, progress=progress)
    reserve = split_budget(total, 0.0)
    with timings.stage("chat"):
        learn.ensure_chat(
            run,
            tokenizer,
            until=None
            if steps
            else max(
                total - reserve.evaluate - reserve.report,
                clock.seconds() + LEAST_CHAT_SHARE * total,
            ),
            steps=max(4, steps // 5) if steps else None,
            helpers=helpers,
            clock=clock,
            progress=progress,
        )
    with timings.stage("evaluate"):
        left = total - reserve.report - clock.seconds()
        seconds = reserve.evaluate if steps else max(5.0, min(reserve.evaluate, left))
        ensure_evaluation(run, seconds=seconds, progress=progress)
    timings.mark("report")
    ensure_report(run)


def _seconds_to_pretrain(total: float, clock: WorkClock, progress: Progress) -> float:
    """What the budget leaves for pretraining; where reading the text took most of it, a share of
    the budget all the same, and the person is told: better late than nothing."""
    try:
        return split_budget(total, clock.seconds()).pretrain
    except BudgetError:
        progress.say(
            f"reading this text took {format_duration(clock.seconds())} of "
            f"{format_duration(total)}: the run will end late; give it more --minutes next time"
        )
        return LEAST_PRETRAIN_SHARE * total


@contextlib.contextmanager
def undone_if_nothing(run: RunDirectory, is_new: bool) -> Iterator[None]:
    """Remove a run that was made just now and whose texts turned out to be unusable."""
    try:
        yield
    except (DataError, ConfigError):
        if is_new:
            # Out of the way first: the clock still ticks, and must not write into a half-gone one.
            gone = run.path.with_name(f".{run.path.name}.{os.getpid()}.tmp")
            with contextlib.suppress(OSError):
                run.path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        raise


def check_settings(*, minutes: float | None, steps: int | None, seed: int) -> None:
    """Refuse what cannot be meant, before anything is touched.

    Raises:
        BudgetError: minutes out of range. ConfigError: steps or seed out of range.
    """
    if minutes is not None and not (
        math.isfinite(minutes) and MIN_MINUTES <= minutes <= MAX_MINUTES
    ):
        raise BudgetError(
            f"minutes must be between {MIN_MINUTES:g} and {MAX_MINUTES:g}",
            got=minutes,
            remedy="give --minutes a number in that range",
        )
    if steps is not None and not 1 <= steps <= 10_000_000:
        raise ConfigError(
            "steps must be between 1 and 10000000", got=steps, remedy="give --steps such a number"
        )
    if not 0 <= seed < 2**63:
        raise ConfigError(
            "seed must be between 0 and 2^63 - 1", got=seed, remedy="give --seed such a number"
        )


def _check_objective(objective: str | None) -> None:
    """Raises ConfigError where the model could not be taught to chat, which goes left to right."""
    if learn.check_objective(objective, None) not in (None, "causal"):
        raise ConfigError(
            "chatting goes from left to right, and such a model reads what stands before both ways",
            got=f"--objective {objective}",
            remedy="make the run with `homespun corpus build`, then use `homespun pretrain "
            f"--objective {objective}`",
        )


def source_name(source: str | Path | None) -> str:
    """The absolute path of an existing source, or the name of a known corpus.

    Raises:
        DataError: it is neither.
    """
    from homespun.corpus import named_corpora

    if source is None:
        return "python"
    path = Path(source)
    if path.exists():
        return str(path.resolve())
    names = [entry.name for entry in named_corpora()]
    if str(source) in names:
        return str(source)
    if any(mark in str(source) for mark in ("/", "\\", "~")) or path.suffix:
        raise DataError("no such file or folder", got=str(source), remedy="check the path")
    raise DataError(
        "no such folder, file or corpus",
        got=str(source),
        remedy=did_you_mean(str(source), names) + " (`homespun data list` shows the corpora)",
    )


def default_name(source: str) -> str:
    """A run's name after its source: "python", or the folder's name."""
    name = Path(source).name if "/" in source else source
    if Path(source).is_file():
        packed = name.endswith((".gz", ".zst"))
        name = Path(Path(name).stem).stem if packed else Path(name).stem
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip("-.")
    return kept or "run"
