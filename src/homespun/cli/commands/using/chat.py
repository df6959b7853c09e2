"""`homespun chat`: talk to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    MaxTokensOption,
    MinPOption,
    PenaltyOption,
    RunArgument,
    RunsOption,
    SeedOption,
    StopOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    resolve_run,
    text,
)
from homespun.cli.sampling import DeviceOption, KernelsOption, WeightsOption, tell_notice


def chat(
    run: RunArgument,
    once: Annotated[
        str | None, typer.Option("--once", callback=text, help="Ask this, print the answer, leave.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", callback=text, help="Who the model is to be.")
    ] = None,
    load: Annotated[
        Path | None, typer.Option("--load", help="Go on from a conversation that /save wrote.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            metavar="NAME=VALUE",
            help="A value that the model's chat template asks for: enable_thinking=false; several "
            "times.",
        ),
    ] = None,
    history: Annotated[
        bool,
        typer.Option(
            "--history/--no-history", help="Remember what is typed, for the next time, or do not."
        ),
    ] = True,
    max_tokens: MaxTokensOption = 200,
    temperature: TemperatureOption = 0.3,
    top_k: TopKOption = 0,
    top_p: TopPOption = 0.95,
    min_p: MinPOption = 0.0,
    repetition_penalty: PenaltyOption = 1.0,
    seed: SeedOption = 0,
    stop: StopOption = None,
    weights: WeightsOption = "float32",
    kernels: KernelsOption = "auto",
    device: DeviceOption = "auto",
    runs: RunsOption = Path("runs"),
) -> None:
    """Talk to a model, turn by turn. /help lists what else can be typed."""
    from homespun.cli.talk import Talk, open_reader
    from homespun.cli.talk.reading import history_file
    from homespun.cli.talk.saved import load as read_saved
    from homespun.cli.terminal import write_answer
    from homespun.core import RequestError, SamplingSettings
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    if once is not None and not once.strip():
        raise RequestError("the question is empty", got=once, remedy="give --once a question")
    settings = SamplingSettings(
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(stop or ()),
    )
    options = _options(template or [])
    opened = open_run(path, weights=weights, kernels=kernels, device=device)
    session = opened.chat_session(system=system, options=options)
    if load is not None:
        session.restore(read_saved(str(load)))
        session.system = session.system if system is None else system
    if once is None:
        tell_notice(opened)
        Talk(
            session,
            settings,
            reader=open_reader(history=history_file() if history else None),
            token_bytes=opened.tokenizer.token_bytes,
        ).loop()
        return
    for piece in session.ask(once, settings):
        write_answer(piece)
    write_answer("\n")


def _options(words: list[str]) -> dict[str, bool | str]:
    """Of "enable_thinking=false" and the like. Raises RequestError for a word that is none."""
    from homespun.core import RequestError

    found: dict[str, bool | str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise RequestError(
                "--template gives a name a value",
                got=word,
                remedy="write --template enable_thinking=false, for example",
            )
        found[name] = {"true": True, "false": False}.get(value.lower(), value)
    return found
