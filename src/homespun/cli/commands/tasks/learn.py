"""`homespun finetune TASK FILE --out FOLDER`: learn a task from a file, and judge it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.options import MinutesOption, SeedOption, number, resolve_run
from homespun.cli.options import text as checked_text

SUMMARIES = {
    "classify": "Texts into classes: sentiment, topic, spam; one class a text or several.",
    "pair": "Two texts: does one follow from the other, do they mean the same, how near are they?",
    "tag": "Words of sentences: parts of speech, names.",
    "segment": "Text that is written without spaces into words.",
    "embed": "Pairs of texts that belong together: vectors for `homespun search`.",
    "translate": "Texts into another language.",
    "summarise": "Texts into short ones: summaries, titles.",
    "write": "Stories, poems with a form, code: texts of your own kind, written on.",
    "answer": "Questions about a passage, with the place of the answer, or none.",
}

WRITES = ("translate", "summarise")
"""Tasks whose answers are texts of the model's own."""

KNOWN = "32"
"""Pairs that `--memory` looks up for a text; `--set known=64` takes another number."""

SEVERAL = ("classify", "translate", "summarise", "answer")
"""Tasks that may have several right ones a row."""

_ALSO = re.compile(r",([a-z]+)=")
"""What follows a file; other commas may be of its name."""

METHODS = {
    "classify": "linear, bayes, rules, cnn, encoder, majority",
    "pair": "overlap, encoder",
    "tag": "crf, hmm, rules, lstm, encoder",
    "segment": "crf, hmm, rules, lstm, encoder",
    "embed": "encoder, untaught, overlap",
    "translate": "transformer, memory, t5",
    "summarise": "extract, transformer, rank, lead, t5",
    "write": "decoder, tuned, untaught",
    "answer": "encoder, overlap, nearest",
}


def add_tasks(group: typer.Typer) -> None:
    """Add a command for each task to `group`."""
    for name, summary in SUMMARIES.items():
        group.command(name, help=summary)(_command(name))


def _command(task: str) -> Callable[..., None]:
    begins_with = "a BERT, MiniLM or `homespun encoder`"
    if task in WRITES:
        begins_with = "a T5, mT5 or `homespun encoder-decoder`"
    if task == "write":
        begins_with = "a run"

    def learn(
        data: Annotated[
            Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSON lines, Parquet or CoNLL.")
        ],
        out: Annotated[Path, typer.Option("--out", help="The folder to write, new or begun.")],
        method: str | None = typer.Option(
            None, "--method", callback=checked_text, help=f"One of {METHODS[task]}."
        ),
        base: Path | None = typer.Option(
            None, "--base", help=f"Folder of {begins_with} to begin with, or hub:OWNER/NAME."
        ),
        prefix: str | None = typer.Option(
            None,
            "--prefix",
            callback=checked_text,
            hidden=task not in WRITES,
            help='What a T5 finds before each text, as "translate English to German: ".',
        ),
        memory: bool = typer.Option(
            False,
            "--memory",
            hidden=task != "translate",
            help="Keep the pairs, and write as the translations of those most like a text go on.",
        ),
        sentences: int | None = typer.Option(
            None,
            "--sentences",
            callback=number(1, 100),
            hidden=task != "summarise",
            help="Of a summary that is taken out of its text; 1 by default.",
        ),
        kind: str | None = typer.Option(
            None,
            "--kind",
            callback=checked_text,
            hidden=task != "write",
            help="story, poem or code; by default what the texts are.",
        ),
        form: str | None = typer.Option(
            None,
            "--form",
            callback=checked_text,
            hidden=task != "write",
            help="Of a poem, LENGTHxLINES (5x4: four lines of five Chinese characters), or even.",
        ),
        several: str | None = typer.Option(
            None,
            "--several",
            callback=checked_text,
            hidden=task not in SEVERAL,
            help="Mark between several right ones in a cell of FILE, as ; in a;b.",
        ),
        test: Annotated[
            Path | None,
            typer.Option("--test", help="File to judge on; else a tenth of FILE is held out."),
        ] = None,
        columns: Annotated[
            str | None,
            typer.Option(
                "--columns",
                callback=checked_text,
                help="Names of FILE's columns where they are not the usual ones, as in "
                "text=review,label=stars. Numbers: FILE has no line of names.",
            ),
        ] = None,
        group: str | None = typer.Option(
            None,
            "--group",
            callback=checked_text,
            help="Column that says whom or what a row is of, as an author, a document or a "
            "patient: rows of one are learned from or judged on, never both.",
        ),
        minutes: MinutesOption = None,
        seed: SeedOption = 0,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", help="A setting of the method, NAME=VALUE; may be repeated."),
        ] = None,
        also: Annotated[
            list[str] | None,
            typer.Option(
                "--also",
                help="Another task for the same encoder, learned at the same time: TASK=FILE, and "
                "perhaps ,test=FILE,group=COLUMN,NAME=COLUMN; may be repeated.",
            ),
        ] = None,
        baselines: Annotated[
            bool, typer.Option("--baselines/--no-baselines", help="Learn and judge them too.")
        ] = True,
    ) -> None:
        from homespun.cli.progress import open_progress
        from homespun.recipes.applications import Also, Asked, find_application, learn_application
        from homespun.recipes.applications.rows import parse_columns

        application = find_application(task)
        options = parse_settings(settings or [])
        if prefix is not None:
            options["prefix"] = prefix
        flags = {
            name: flag
            for name, flag, given in (
                ("prefix", "--prefix", prefix is not None),
                ("known", "--memory", memory and "known" not in options),
                ("sentences", "--sentences", sentences is not None),
                ("kind", "--kind", kind is not None),
                ("form", "--form", form is not None),
            )
            if given
        }
        if memory:
            options.setdefault("known", KNOWN)
        if sentences is not None:
            options["sentences"] = str(sentences)
        options |= {n: v for n, v in (("kind", kind), ("form", form)) if v is not None}
        if task == "write" and base is not None:
            base = resolve_run(base)
        asked = Asked(
            task,
            data,
            out,
            test=test,
            method=method,
            base=base,
            columns=parse_columns(columns, application.columns()),
            seconds=None if minutes is None else 60.0 * minutes,
            seed=seed,
            options=options,
            judge_baselines=baselines,
            also=[
                Also(name, path, test, parse_columns(names, find_application(name).columns()), of)
                for name, path, test, of, names in parse_also(also or [])
            ],
            several=several,
            flags=flags,
            group=group,
        )
        with open_progress() as progress:
            told = learn_application(asked, progress=progress)
        show(told, out)

    return learn


def parse_also(given: list[str]) -> list[tuple[str, Path, Path | None, str | None, str]]:
    """What `--also TASK=FILE,test=FILE,group=COLUMN,NAME=COLUMN` says: task, file, file to judge
    on, column that rows are kept together by, names of columns. Raises typer.BadParameter where it
    is no such thing."""
    found = []
    for task, rest in _pairs(given, "--also is TASK=FILE"):
        path, *more = _ALSO.split(rest.strip())
        settings = dict(zip(more[::2], more[1::2], strict=True))
        test = settings.pop("test", None)
        group = settings.pop("group", None)
        names = ",".join(f"{name}={column}" for name, column in settings.items())
        found.append((task, Path(path), None if test is None else Path(test), group, names))
    return found


def parse_settings(given: list[str]) -> dict[str, str]:
    """What `--set NAME=VALUE` says, a value with the spaces around it: that of a prefix counts.
    Raises typer.BadParameter where it is no such thing, or no UTF-8."""
    for entry in given:
        checked_text(entry)
    return dict(_pairs(given, "--set is NAME=VALUE"))


def _pairs(given: list[str], form: str) -> list[tuple[str, str]]:
    pairs = []
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{form} (got {entry!r})")
        pairs.append((name.strip(), value))
    return pairs


def show(told: dict[str, Any], out: Path) -> None:
    """Print results.json for a person."""
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import out as console
    from homespun.cli.terminal import say, table

    rows = told["rows"]
    more = f", {rows['dev']:,} more {told['held_out']}" if rows["dev"] else ""
    say(
        f"{told['task']} by {told['method']}: {rows['train']:,} rows learned from{more}; judged on "
        f"{rows['test']:,} ({told['test_from']})",
        "bold",
    )
    say(told["split"]["how"], "dim")
    shown = table("measure", "value", "95% interval")
    for name, entry in zip(names_of(told["measures"]), told["measures"], strict=True):
        shown.add_row(name, f"{entry['value']:.4g}", interval(entry))
    for baseline in told["baselines"]:
        main, difference = baseline["measures"][0], baseline["difference"]
        shown.add_row(
            f"{baseline['method']}: {main['name']}",
            f"{main['value']:.4g}",
            f"difference {difference['value']:+.3g}{around(difference)}",
        )
    console().print(shown)
    for note in told["notes"]:
        say(note)
    seen = told["test_rows_seen_in_training"]
    if seen:
        say(f"{seen:,} test rows were learned from as well: the numbers are too good.", "yellow")
    for name in told.get("together", []):
        say(f"{out / name}: the task learned beside it, a folder like this one", "dim")
    say(f"{out}: README.md (model card), results.json, predictions.jsonl, report.html", "dim")
    say(f"Next: {command_name()} apply {told['task']} {typed(out)} FILE")


def names_of(measures: list[dict[str, Any]]) -> list[str]:
    """Names of measures; of those that share one, with what of their signatures is different."""
    told = []
    for entry in measures:
        same = [set(e["signature"].split("|")) for e in measures if e["name"] == entry["name"]]
        common = set.intersection(*same)
        own = [part for part in entry["signature"].split("|") if part not in common]
        told.append(f"{entry['name']} ({', '.join(own)})" if own else entry["name"])
    return told


def around(entry: dict[str, Any]) -> str:
    """The interval of a difference, where there is one."""
    return f" ({interval(entry)})" if entry["low"] is not None else ""


def interval(entry: dict[str, Any]) -> str:
    return "" if entry["low"] is None else f"{entry['low']:.4g} to {entry['high']:.4g}"
