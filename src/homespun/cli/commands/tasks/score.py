"""`homespun score ANSWERS RIGHT --as KIND`: how good answers are, whoever gave them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import JsonOption, SeedOption
from homespun.cli.options import text as checked_text


def score(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="ANSWERS",
            help="A file of answers, as `apply --out` writes or a text a line; or a folder that "
            "`finetune` wrote.",
        ),
    ],
    right: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RIGHT]", help="A file of right ones, row by row; none for a folder."
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--as",
            callback=checked_text,
            help="labels, tags, words, answers, translations, summaries or transcripts.",
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option("--beside", help="Other answers to the same rows: which are better?"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", callback=checked_text, help="As in answers=said,right=label."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            callback=checked_text,
            help="Column of RIGHT that says whom or what a row is of: intervals redraw these.",
        ),
    ] = None,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
) -> None:
    """How good answers are, with 95% intervals: accuracy and F1, BLEU and chrF, ROUGE, WER …"""
    from homespun.cli.commands.tasks.learn import around, interval
    from homespun.cli.terminal import out, say, table
    from homespun.core.files import write_json
    from homespun.recipes.applications.rows import Column, encoding_note, parse_columns
    from homespun.recipes.scoring import ScoreAsk
    from homespun.recipes.scoring import score as score_answers

    known = [Column(name, (), name) for name in ("answers", "right")]
    ask = ScoreAsk(answers, right, kind, beside, parse_columns(columns, known), group, seed)
    told = score_answers(ask)
    say(f"{told['kind']}: {told['rows']:,} rows", "bold")
    files = (file for file in (answers, right, beside) if file is not None)
    for note in filter(None, map(encoding_note, files)):
        say(note, "dim")
    names = ["measure", "value", "95% interval"]
    shown = table(*names, *(["beside", "difference", "p"] if beside is not None else []))
    for entry in told["measures"]:
        cells = [entry["name"], f"{entry['value']:.4g}", interval(entry)]
        if "beside" in entry:
            by = entry["difference"]
            p = "" if by["p"] is None else f"{by['p']:.3g}"
            cells += [f"{entry['beside']:.4g}", f"{by['value']:+.4g}{around(by)}", p]
        shown.add_row(*cells)
    out().print(shown)
    for entry in told["measures"]:
        say(f"{entry['name']}: {entry['signature']}", "dim")
    if json_file is not None:
        write_json(json_file, told)
