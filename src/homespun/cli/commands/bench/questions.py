"""`homespun bench questions`: published sets of questions, beside chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homespun.cli.options import (
    JsonOption,
    RunsOption,
    SeedOption,
    number,
    resolve_run,
    text,
)

if TYPE_CHECKING:
    from rich.table import Table

_MOST_GROUPS = 20
"""That a terminal has room for."""


def questions(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run: its folder, or its name under runs/. Or an encoder that says masked "
            "words: its folder, or hub:OWNER/NAME.",
        ),
    ],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The set as published: file, folder or archive.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--set", callback=text, help="blimp, choices, cmmlu, crows-pairs, bbq, xstest, lambada."
        ),
    ] = "choices",
    most: Annotated[
        int | None,
        typer.Option("--most", callback=number(1, 10**7), help="Ask so many, drawn evenly."),
    ] = None,
    beside: Annotated[
        bool, typer.Option("--beside/--alone", help="Ask a 5-gram of the run's text as well.")
    ] = True,
    answers: Annotated[
        bool,
        typer.Option("--answers", help="CMMLU: choose among the answers, not among their letters."),
    ] = False,
    shots: Annotated[
        int,
        typer.Option(
            "--shots", callback=number(0, 5), help="CMMLU: worked examples before each question."
        ),
    ] = 0,
    seed: SeedOption = 0,
    runs: RunsOption = Path("runs"),
    json_file: JsonOption = None,
) -> None:
    """How often the model finds the right option the likeliest: BLiMP, PIQA, ARC, CMMLU …

    An encoder is asked by pseudo-likelihood: each token told from all others.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import out, say
    from homespun.core.files import write_json
    from homespun.recipes.imports import model_place
    from homespun.recipes.questions import QuestionsAsk, ask_encoder, ask_questions, is_encoder
    from homespun.recipes.questions.ask import LAST_WORDS
    from homespun.recipes.run import open_run

    ask = QuestionsAsk(kind, path, most, seed, beside, answers, shots)
    with open_progress() as progress:
        place = model_place(run, progress=progress)
        if is_encoder(place):
            name = run.name or place.resolve().name
            found = ask_encoder(place, ask, progress=progress)
        else:
            opened = open_run(resolve_run(run, runs=runs))
            name = opened.path.name
            found = ask_questions(opened, ask, progress=progress)
    shown = _last_words(name, found) if kind == LAST_WORDS else None
    out().print(shown or _choices(name, found))
    groups = [] if shown else found["model"]["groups"]
    if 1 < len(groups) <= _MOST_GROUPS:
        out().print(_groups(groups))
    elif len(groups) > 1:
        say(f"{len(groups):,} groups are in what --json writes", "dim")
    what = "passages" if shown else "questions; options that are equally likely count by halves"
    say(f"{found['questions']:,} {what}")
    for row in found["beside"]:
        if "difference" in row:
            say(_difference(row["name"], row["difference"]))
    if found.get("by"):
        say(f"by {found['by']}: each token told from all others, no probability of a text", "dim")
    share = found["seen_share"]
    if share is None:
        why = "they are too short to be looked up in the text it was trained on"
        why = why if found["seen_in"] else "the run keeps no text it was trained on"
        say(f"Whether it has read them is not known: {why}", "dim")
    else:
        said = f"{share:.1%} of them stand in the text the run was trained on"
        say(f"{said} ({', '.join(found['seen_in'])})", "yellow" if share else "dim")
    if json_file is not None:
        write_json(json_file, found)


def _choices(name: str, found: dict[str, Any]) -> Table:
    from homespun.cli.terminal import table

    shown = table("who", "by sum", "95%", "by byte", "95%")
    for who, row in ((name, found["model"]), *((b["name"], b) for b in found["beside"])):
        shown.add_row(who, *_share(row["summed"]), *_share(row["per_byte"]))
    lines = {"chance": found["chance"], "always the commonest": found["commonest"]}
    for who, share in lines.items():
        if share is not None:
            shown.add_row(who, f"{share:.1%}", "", f"{share:.1%}", "")
    return shown


def _groups(groups: list[dict[str, Any]]) -> Table:
    """Each set, subject or kind of questions by itself, beside what guessing gives there."""
    from homespun.cli.terminal import table

    shown = table("of them", "questions", "by sum", "95%", "by byte", "95%", "chance")
    for row in groups:
        ways = [
            cell
            for way in ("summed", "per_byte")
            for cell in _share({"value": row[way], **_ends(row["interval"][way])})
        ]
        shown.add_row(row["name"], f"{row['num']:,}", *ways, f"{row['chance']:.1%}")
    return shown


def _ends(interval: list[float]) -> dict[str, float]:
    return {"low": interval[0], "high": interval[1]}


def _last_words(name: str, found: dict[str, Any]) -> Table:
    from homespun.cli.terminal import table

    shown = table("who", "right", "95%", "perplexity")
    mine = found["model"]
    shown.add_row(name, *_share(mine["accuracy"]), f"{mine['perplexity']:,.1f}")
    for row in found["beside"]:
        shown.add_row(row["name"], "", "", f"{row['perplexity']:,.1f}")
    shown.add_row("a word of the passage", f"{found['chance']:.1%}", "", "")
    return shown


def _difference(name: str, ways: dict[str, Any]) -> str:
    told = []
    for way, entry in (("sum", ways["summed"]), ("byte", ways["per_byte"])):
        around = ""
        if entry["low"] is not None:
            around = f" ({entry['low']:+.1%} to {entry['high']:+.1%}, p {entry['p']:.2g})"
        told.append(f"{entry['value']:+.1%}{around} by {way}")
    return f"Beside the {name} of the same questions: {', '.join(told)}"


def _share(entry: dict[str, Any]) -> tuple[str, str]:
    return f"{entry['value']:.1%}", f"{entry['low']:.1%} to {entry['high']:.1%}"
