"""`homespun plan`: what a budget of minutes buys, before any of it is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.options import (
    MemoryOption,
    MinutesOption,
    NameOption,
    PortableOption,
    PresetOption,
    RampOption,
    RegulariseOption,
    RunsOption,
    SettingsOption,
    StepsOption,
    StopEarlyOption,
    StrategyOption,
    TrainingSetOption,
    chosen_preset,
    plan_options,
    run_or_corpus,
)


def plan(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run: its folder, or its name under runs/."),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Without a run: a folder, a file, or a corpus by name to plan for."),
    ] = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    size: Annotated[
        str | None,
        typer.Option(help="A named size such as 1m, or 128x5, instead of the one advised."),
    ] = None,
    portable: PortableOption = False,
    preset: PresetOption = None,
    settings: SettingsOption = None,
    memory: MemoryOption = None,
    ramp: RampOption = None,
    regularise: RegulariseOption = False,
    stop_early: StopEarlyOption = False,
    changes: TrainingSetOption = None,
    strategy: StrategyOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Choose shape and length for a budget, and say beforehand what will come of it.

    Measures this machine, trains a tiny pilot on the text, and asks our own scaling law. With
    --corpus it makes the run first: texts cleaned, tokenizer trained.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.core import ConfigError, Progress
    from homespun.recipes import plan_stage

    if (minutes is None) == (steps is None):
        raise ConfigError(
            "a plan needs a budget in minutes or in steps",
            got="neither" if minutes is None else "both",
            remedy="give --minutes 10, for example",
        )
    wanted = chosen_preset(preset, portable)
    options = plan_options(
        memory, ramp, regularise=regularise, stop_early=stop_early, changes=changes
    )
    find = run_or_corpus(run, corpus, name=name, runs=runs, asked="a plan")
    found: list[Path] = []

    def find_once(progress: Progress) -> Path:
        found.append(find(progress))
        return found[0]

    with open_progress() as progress:
        result = plan_stage(
            find_once,  # by one of several processes: the others must not make a run as well
            minutes=minutes,
            steps=steps,
            size=size,
            preset=wanted,
            settings_file=settings,
            strategy=strategy,
            options=options,
            progress=progress,
        )
    print_plan(result)
    say(f"Next: {command_name()} pretrain {typed(run or next(iter(found), 'RUN'))}")


def print_plan(plan: dict[str, Any]) -> None:
    """Print a `RunPlan`: the size, what it will read, and the speeds it was chosen by."""
    from homespun.cli.terminal import bytes_text, count_text, say, seconds_text
    from homespun.recipes.plan import OtherPreset, RunPlan, reach_text, regularised_text
    from homespun.scaling.law import Prediction

    model = plan["model"]
    say(
        f"size {plan['size']}: {count_text(plan['parameters'])} parameters, "
        f"{model['num_layers']} layers of width {model['width']}, context {model['context']}",
        "bold",
    )
    say(context_text(plan))
    say(preset_text(plan))
    if plan["num_steps"] is not None:
        size = "" if plan.get("ramp") else f" of {plan['rows']} x {model['context']} tokens"
        say(f"pretraining: {plan['num_steps']:,} steps{size}")
    else:
        say(f"pretraining: {seconds_text(plan['seconds'])}")
    if plan.get("ramp"):
        parts = [f"{p['share']:.0%} {p['rows']} x {p['context']}" for p in plan["ramp"]["phases"]]
        say(f"batches grow, of {plan['ramp_steps']:,} steps: {', then '.join(parts)} tokens")
    tokens, read = count_text(plan["expected_tokens"]), readings_text(plan["expected_epochs"])
    say(f"it reads {tokens} tokens, {read}, in {plan['compute_dtype']}")
    if plan.get("regularised_for") is not None:
        say(regularised_text(RunPlan(**plan)))
    if plan.get("stop_early"):
        say("it ends early where the loss on held-out text has turned")
    if plan.get("changes"):
        say(f"set by hand: {', '.join(settings_text(plan['changes']))}")
    for speed in plan["speeds"]:
        dropout = ", with dropout" if speed.get("drops") else ""
        rate = f"{speed['tokens_per_second']:,.0f} tokens a second"
        say(f"measured: {speed['size']} learns {rate}{dropout}")
    say(f"why: {plan['reason']}")
    told = plan.get("prediction")
    if told is not None:
        reach = Prediction(told["bits_per_byte"], told["low"], told["high"])
        say(f"validation text: {reach_text(reach)}", "bold")
        if plan.get("other"):
            other = OtherPreset(**plan["other"])
            say(other.in_words(plan["preset"], told["bits_per_byte"]))
        beyond = beyond_text(told.get("beyond", 1.0))
        if beyond:
            say(beyond)
        if told["provisional"]:
            say("the law behind this is provisional: fitted to a small sweep")
    if plan.get("memory_bytes"):
        memory, disk = bytes_text(plan["memory_bytes"]), bytes_text(plan["disk_bytes"])
        say(f"memory: {memory} at the most; disk: {disk} for checkpoints")
    if plan.get("memory_note"):
        say(plan["memory_note"])
    if plan["expected_seconds"] is not None:
        say(f"pretraining would end at {finish_time(plan['expected_seconds'])}, begun now")


def readings_text(times: float) -> str:
    """How much of the corpus that is."""
    if times >= 0.95:
        return f"the corpus {times:.1f} times"
    if times >= 0.001:
        return f"{100 * times:.2g}% of the corpus"
    return "less than a thousandth of the corpus"


def beyond_text(times: float) -> str:
    """What a law says less of, a run of so many times the operations of its largest; "" where that
    is no more than a rounding."""
    if times < 1.05:
        return ""
    told = f"{times:.1f}" if times < 9.95 else f"{times:,.0f}"
    return (
        f"this run makes {told} times the operations of the largest behind the law: beyond that, "
        "laws were found to be too high by a few percent"
    )


def context_text(plan: dict[str, Any]) -> str:
    """Why the plan's rows are as long as they are: the law says nothing of that."""
    from homespun.recipes.plan import CONTEXT

    context = plan["model"]["context"]
    if plan.get("ramp"):
        return f"context: {context} tokens in the end, as --ramp says"
    if context < CONTEXT:
        return f"context: {context} tokens, as the text would not fill rows of {CONTEXT} 20 times"
    return (
        f"context: {context} tokens, as in all runs behind the law, which says nothing of others "
        "(--ramp sets them, and `extend context` lengthens them later)"
    )


def preset_text(plan: dict[str, Any]) -> str:
    """What the plan's preset means for the model."""
    if plan["preset"] == "portable":
        return "preset portable: Hugging Face and llama.cpp can read the model"
    return (
        "preset fast: the network corrects a table that knows which token follows the last "
        f"{plan['prior_order'] - 1}; only Homespun reads such a model (--portable for one that "
        "others read)"
    )


def finish_time(seconds: float) -> str:
    """The local time so many seconds from now, with the day where it is another one."""
    from datetime import datetime, timedelta

    now = datetime.now().astimezone()
    end = now + timedelta(seconds=seconds)
    return end.strftime("%H:%M" if end.date() == now.date() else "%H:%M on %d %B")


def settings_text(changes: dict[str, Any]) -> list[str]:
    """{"optimizer": {"kind": "adamw"}} as ["optimizer.kind=adamw"]."""
    found = []
    for name, value in changes.items():
        inner = settings_text(value) if isinstance(value, dict) else [f"={value}"]
        found += [f"{name}{'' if text.startswith('=') else '.'}{text}" for text in inner]
    return found
