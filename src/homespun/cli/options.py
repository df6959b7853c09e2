"""Arguments and options that several commands share. Values are checked before any work starts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from homespun.core import Progress
    from homespun.recipes import PlanOptions
    from homespun.recipes.scale.shapes import Preset

LONGEST_MINUTES = 43_200  # thirty days: above that a number of minutes is a slip of the finger
_NAME = re.compile(r"[\w][\w.+-]*")

NumberT = TypeVar("NumberT", int, float, None)


def number(
    low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[NumberT], NumberT]:
    """A check that a number lies in [low, high], or in (low, high] with `above`. NaN never does."""

    def check(value: NumberT) -> NumberT:
        if value is None:
            return value
        good = (low < value <= high) if above else (low <= value <= high)
        if not good or math.isinf(value):
            start = f"above {low:g}" if above else f"{low:g} or more"
            end = "" if math.isinf(high) else f", at most {high:g}"
            raise typer.BadParameter(f"got {value}, give a number {start}{end}")
        return value

    return check


def numbers(text: str, option: str) -> list[float]:
    """ "1e12,3e12" as numbers."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or not all(0 <= value < float("inf") for value in found):
        raise typer.BadParameter(f"{option} wants numbers with commas between them (got {text!r})")
    return found


def whole_numbers(text: str, option: str) -> list[int]:
    """ "0,1,2" as whole numbers, none of them twice."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise typer.BadParameter(
            f"{option} wants whole numbers with commas between them (got {text!r})"
        )
    found = [int(part) for part in parts]
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice is not None:  # the same once more is no other draw
        raise typer.BadParameter(f"{option} wants each number once (got {twice} twice)")
    return found


def minutes(value: NumberT) -> NumberT:
    """A check that minutes can be meant; how few are too few, the stages know."""
    if value is not None and not 0 < value <= LONGEST_MINUTES:
        raise typer.BadParameter(
            f"minutes must be between 0.5 and {LONGEST_MINUTES} (got {value:g})"
        )
    return value


def text(value: str | None) -> str | None:
    """A check that text is UTF-8: bytes that are not arrive as lone surrogates."""
    if value is not None:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise typer.BadParameter("it is not valid UTF-8, save or type it as UTF-8") from None
    return value


def texts(values: list[str] | None) -> list[str] | None:
    """`text` for an option that may be given several times."""
    for value in values or ():
        text(value)
    return values


def run_name(value: str | None) -> str | None:
    """A check that the name of a run, or of what is named like one, is a name and not a path."""
    if value is not None and not _NAME.fullmatch(value):
        raise typer.BadParameter(
            f"got {value!r}, a name has letters, digits, '-', '_', '+' and '.' only"
        )
    return value


def resolve_run(given: Path, *, runs: Path = Path("runs")) -> Path:
    """The folder of a run given as a folder or as the bare name of one in `runs`.

    Raises:
        RunError: there is none; the message names the nearest one there is.
    """
    from homespun.core import RunError, did_you_mean

    for path in (given, runs / given):
        if (path / "run.json").is_file():
            return path
    there = sorted(path.parent.name for path in runs.glob("*/run.json"))
    remedy = (
        did_you_mean(given.name, there)
        if there
        else "make one with `homespun spin FOLDER --minutes 10`"
    )
    raise RunError(f"there is no run in {given}", remedy=remedy)


def run_or_corpus(
    run: Path | None, corpus: str | None, *, name: str | None, runs: Path, asked: str
) -> Callable[[Progress], Path]:
    """What finds the run that was named, or makes one of the corpus, for commands that take either.

    Args:
        asked: what is asked for, such as "a plan".

    Raises:
        ConfigError: neither is given, or both; or a name for a run that has one.
    """
    from homespun.core import ConfigError

    if (run is None) == (corpus is None):
        raise ConfigError(
            f"{asked} is for a run or for a corpus",
            got="neither" if run is None else "both",
            remedy="give the name of a run, or --corpus and a folder or the name of a corpus",
        )
    if run is not None and name is not None:
        raise ConfigError(
            "--name is for the run that is made of a --corpus",
            got=name,
            remedy=f"leave it out: {run} has a name",
        )

    def find(progress: Progress) -> Path:
        if corpus is not None:
            from homespun.recipes.stages import prepare_corpus

            return prepare_corpus(corpus, name=name, runs=runs, progress=progress)
        assert run is not None
        return resolve_run(run, runs=runs)

    return find


def plan_options(
    memory: str | None,
    ramp: str | None,
    *,
    regularise: bool = False,
    stop_early: bool = False,
    changes: Sequence[str] | None = None,
) -> PlanOptions:
    """What these options ask of a plan. Raises ConfigError where one is not written as it must."""
    from homespun.recipes import PlanOptions
    from homespun.recipes.plan import read_changes
    from homespun.recipes.scale.ramped import ramp_settings
    from homespun.recipes.scale.room import parse_memory

    if ramp is not None:
        ramp_settings(ramp)
    given = tuple(changes or ())
    read_changes(given)
    return PlanOptions(parse_memory(memory), ramp, regularise, stop_early, given)


def chosen_preset(preset: str | None, portable: bool) -> Preset | None:
    """What --preset and --portable say together; None where neither is given.

    Raises:
        typer.BadParameter: there is no such preset, or they contradict each other.
    """
    if preset not in (None, "portable", "fast"):
        raise typer.BadParameter(f"--preset is portable or fast (got {preset!r})")
    if portable and preset == "fast":
        raise typer.BadParameter("--portable and --preset fast contradict each other")
    return "portable" if portable or preset == "portable" else "fast" if preset else None


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run: its folder, or its name under runs/.")
]
RunsOption = Annotated[Path, typer.Option("--runs", help="The folder that holds the runs.")]
NameOption = Annotated[
    str | None, typer.Option("--name", callback=run_name, help="What to call the run.")
]
LanguageOption = Annotated[
    str, typer.Option("--lang", help="Keep only text in this language: en, zh, …, or code.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", callback=number(0, 2**63 - 1), help="Same seed, same result.")
]
StepsOption = Annotated[
    int | None,
    typer.Option("--steps", callback=number(1, 10**9), help="Train this many steps, not minutes."),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        callback=minutes,
        help="How long it may take, in minutes of work.",
    ),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="Under torchrun: ddp, every process holds the model; fsdp, each holds a part. "
        "+checkpoint computes again instead of keeping, +compile compiles each block, +accumulate4 "
        "adds up the gradients of 4 parts of a batch: fsdp+checkpoint+accumulate4.",
    ),
]
ChatFileOption = Annotated[
    Path | None, typer.Option("--chat", help="Conversations to learn from (JSON lines).")
]
MaxTokensOption = Annotated[
    int, typer.Option(callback=number(1, 10**6), help="Longest answer, in tokens.")
]
TemperatureOption = Annotated[
    float, typer.Option(callback=number(0, 100), help="0 always takes the likeliest token.")
]
TopKOption = Annotated[
    int, typer.Option(callback=number(0, 10**6), help="Choose among the k likeliest; 0 is off.")
]
TopPOption = Annotated[
    float,
    typer.Option(callback=number(0, 1, above=True), help="Choose among the likeliest share p."),
]
MinPOption = Annotated[
    float, typer.Option(callback=number(0, 1), help="Leave out tokens below p times the best.")
]
PenaltyOption = Annotated[
    float,
    typer.Option(callback=number(0, 10, above=True), help="Above 1 discourages repeating."),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option(callback=texts, help="End at this text; may be given several times."),
]
PortableOption = Annotated[
    bool,
    typer.Option(
        "--portable",
        help="A model that Hugging Face and llama.cpp can read; the plan says what it costs.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset", help="portable, or fast: the parts that learn most in the time there is."
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="Settings that `homespun tune` found, for a new plan."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        help="Take a size that trains within so much memory, as 4GB, whatever is free here.",
    ),
]
RampOption = Annotated[
    str | None,
    typer.Option(
        "--ramp",
        callback=text,
        help='Let batches grow: "0.3:4x128,0.7:8x256" is 0.3 of the steps with 4 rows of 128 '
        "tokens, then 8 of 256; with ,sqrt learning rates follow.",
    ),
]
RegulariseOption = Annotated[
    bool,
    typer.Option(
        "--regularise",
        help="Let dropout and weight decay follow how well the text could be known by heart.",
    ),
]
StopEarlyOption = Annotated[
    bool,
    typer.Option(
        "--stop-early",
        help="End training once held-out loss has turned; the best weights are kept anyway.",
    ),
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help="causal; prefix: what follows a part that is read both ways; blank: pieces taken "
        "out, as GLM. Only `generate` and `serve` use a model of the latter two.",
    ),
]
TrainingSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Train by a setting of your own: optimizer.kind=adamw, optimizer.learning_rate=0.01, "
        "schedule.kind=cosine, train.ema.kind=ema, …; several times.",
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Also write the numbers to this file.")
]
