"""`homespun bench questions`: published sets of questions, beside chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import (
    JsonOption,
    RunArgument,
    RunsOption,
    SeedOption,
    number,
    resolve_run,
    text,
)


def questions(
    run: RunArgument,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The set as published: file, folder or archive.")
    ],
    kind: Annotated[
        str,
        typer.Option("--set", callback=text, help="blimp, choices, cmmlu, crows-pairs or bbq."),
    ] = "choices",
    most: Annotated[
        int | None,
        typer.Option("--most", callback=number(1, 10**7), help="Ask so many, drawn evenly."),
    ] = None,
    beside: Annotated[
        bool, typer.Option("--beside/--alone", help="Ask a 5-gram of the run's text as well.")
    ] = True,
    seed: SeedOption = 0,
    runs: RunsOption = Path("runs"),
    json_file: JsonOption = None,
) -> None:
    """How often the model finds the right option the likeliest: BLiMP, PIQA, ARC, CMMLU …"""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import out, say, table
    from homespun.core.files import write_json
    from homespun.recipes.questions import QuestionsAsk, ask_questions
    from homespun.recipes.run import open_run

    opened = open_run(resolve_run(run, runs=runs))
    ask = QuestionsAsk(kind, path, most=most, seed=seed, beside=beside)
    with open_progress() as progress:
        found = ask_questions(opened, ask, progress=progress)
    shown = table("who", "by sum", "95%", "by byte", "95%")
    for name, row in (
        (opened.path.name, found["model"]),
        *((b["name"], b) for b in found["beside"]),
    ):
        cells = [
            cell
            for way in ("summed", "per_byte")
            for cell in (
                f"{row[way]['value']:.1%}",
                f"{row[way]['low']:.1%} to {row[way]['high']:.1%}",
            )
        ]
        shown.add_row(name, *cells)
    shown.add_row("chance", f"{found['chance']:.1%}", "", f"{found['chance']:.1%}", "")
    out().print(shown)
    say(f"{found['questions']:,} questions; options that are equally likely count by halves")
    if found["seen_share"]:
        say(f"{found['seen_share']:.1%} of them stand in the text the run was trained on", "yellow")
    if json_file is not None:
        write_json(json_file, found)
