"""`homespun generate`: let a model continue a text."""

from __future__ import annotations

import sys
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


def generate(
    run: RunArgument,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            callback=text,
            help="The text to continue; - reads stdin. Left out, the model begins a document.",
        ),
    ] = None,
    max_tokens: MaxTokensOption = 200,
    temperature: TemperatureOption = 0.8,
    top_k: TopKOption = 0,
    top_p: TopPOption = 0.95,
    min_p: MinPOption = 0.0,
    repetition_penalty: PenaltyOption = 1.0,
    seed: SeedOption = 0,
    stop: StopOption = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the continuation alone, nothing around it.")
    ] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Continue a text as the model would: it knows no questions here, only text that goes on."""
    from homespun.cli.terminal import out, say, visible
    from homespun.core import RequestError
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    if prompt == "-":
        prompt = sys.stdin.read()
    if prompt == "":
        raise RequestError(
            "the prompt is empty", remedy="leave --prompt out to let the model begin a document"
        )
    prompt = prompt or ""
    pieces = open_run(path).stream(
        prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(stop or ()),
    )
    if raw:
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        return
    console = out()
    first = next(pieces, "")  # a refused request is told before anything is printed
    console.print(visible(prompt), style="dim", end="", soft_wrap=True)
    console.print(visible(first), end="", soft_wrap=True)
    for piece in pieces:
        console.print(visible(piece), end="", soft_wrap=True)
        sys.stdout.flush()
    say()
