"""`homespun write`: stories, poems with a form, code that parses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    MaxTokensOption,
    RunArgument,
    RunsOption,
    SeedOption,
    TemperatureOption,
    number,
    resolve_run,
    text,
)


def write(
    run: RunArgument,
    kind: Annotated[
        str, typer.Option("--kind", callback=text, help="story, poem or code.")
    ] = "story",
    prompt: Annotated[
        str, typer.Option("--prompt", callback=text, help="What it begins with.")
    ] = "",
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            callback=text,
            help="Of a poem, LENGTHxLINES: 5x4 is four lines of five Chinese characters.",
        ),
    ] = None,
    tries: Annotated[
        int, typer.Option("--tries", callback=number(1, 20), help="Until one keeps its form.")
    ] = 5,
    max_tokens: MaxTokensOption = 300,
    temperature: TemperatureOption = 0.8,
    seed: SeedOption = 0,
    runs: RunsOption = Path("runs"),
) -> None:
    """Write a story that ends, a poem of so many lines and characters, or Python that parses."""
    from homespun.cli.terminal import err, write_answer
    from homespun.recipes.run import open_run
    from homespun.recipes.writing import write as write_text

    found = write_text(
        open_run(resolve_run(run, runs=runs)),
        kind,
        prompt=prompt,
        form=form,
        tries=tries,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    write_answer(found.text + "\n")
    if not found.holds:
        err().print(f"none of {found.tries} kept its form; this is the last one", style="yellow")
        raise typer.Exit(1)
