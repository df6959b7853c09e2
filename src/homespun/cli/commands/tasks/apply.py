"""`homespun apply TASK FOLDER [FILE]`: answer the rows of a file with what was learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.commands.tasks.learn import SUMMARIES
from homespun.cli.groups import new_group
from homespun.cli.options import text as checked_text


def build_group() -> typer.Typer:
    group = new_group("Use a task that was learned, on files or on standard input.")
    for name in SUMMARIES:
        group.command(name, help=f"Answer with what `finetune {name}` learned.")(_command(name))
    return group


def unparted_text(what: str) -> str:
    """What a person should know of Chinese that a tagger of words has tagged."""
    return (
        f"{what} of Chinese were parted into characters, which this tagger, learned from words, "
        "takes for words: --segmenter FOLDER parts them as `finetune segment` learned"
    )


def _command(task: str) -> Callable[..., None]:
    def apply(
        folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What finetune wrote.")],
        file: Annotated[
            Path,
            typer.Argument(metavar="[FILE]", help="Rows to answer; standard input by default."),
        ] = Path("-"),
        out: Annotated[
            Path | None,
            typer.Option("--out", help="Write JSON lines to this file; continues it if stopped."),
        ] = None,
        columns: Annotated[
            str | None,
            typer.Option("--columns", callback=checked_text, help="As in finetune."),
        ] = None,
        segmenter: Path | None = typer.Option(
            None,
            "--segmenter",
            hidden=task != "tag",
            help="What `finetune segment` wrote: parts Chinese text for a tagger of words.",
        ),
        as_json: Annotated[
            bool, typer.Option("--json", help="Print JSON lines in place of plain text.")
        ] = False,
    ) -> None:
        from homespun.cli.terminal import err, say, write_answer
        from homespun.core import ConfigError
        from homespun.recipes.applications import (
            answer_file,
            answered,
            find_application,
            open_application,
        )
        from homespun.recipes.applications.rows import encoding_note, parse_columns

        if as_json and out is not None:
            raise ConfigError(
                "--json is for what is printed, and --out writes JSON lines anyway",
                got="both",
                remedy="leave one of them out",
            )
        names = parse_columns(columns, find_application(task).columns())
        if out is not None:
            done = answer_file(folder, file, names, out, task=task, segmenter=segmenter)
            before = f", {done.before:,} of them from before" if done.before else ""
            say(f"{done.rows:,} answers in {out}{before}")
            num_cut, num_unparted = done.cut, done.unparted
        else:
            num_cut = num_unparted = 0
            opened = open_application(folder, task=task, segmenter=segmenter)
            for row in answered(opened, file, names):
                plain = row.pop("plain")
                num_cut += "cut" in row
                num_unparted += "unparted" in row
                line = json.dumps(row, ensure_ascii=False)
                write_answer((line if as_json else plain) + "\n")
        if note := encoding_note(file):
            err().print(note, style="dim", soft_wrap=True)
        if num_cut:
            told = f'{num_cut:,} rows are longer than what is read of them ("cut" in JSON)'
            err().print(told, style="dim", soft_wrap=True)
        if num_unparted:
            err().print(unparted_text(f"{num_unparted:,} rows"), style="yellow", soft_wrap=True)

    return apply
