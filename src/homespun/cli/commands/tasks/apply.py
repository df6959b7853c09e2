"""`homespun apply TASK FOLDER [FILE]`: answer the rows of a file with what was learned."""

from __future__ import annotations

import json
import sys
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


def _command(task: str) -> Callable[..., None]:
    def apply(
        folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What finetune wrote.")],
        file: Annotated[
            Path,
            typer.Argument(metavar="[FILE]", help="Rows to answer; standard input by default."),
        ] = Path("-"),
        out: Annotated[
            Path | None,
            typer.Option("--out", help="Write JSON lines to this file in place of plain text."),
        ] = None,
        columns: Annotated[
            str | None,
            typer.Option("--columns", callback=checked_text, help="As in finetune."),
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print JSON lines in place of plain text.")
        ] = False,
    ) -> None:
        from homespun.cli.terminal import say
        from homespun.core.files import write_text
        from homespun.recipes.applications import answered, open_application
        from homespun.recipes.applications.rows import parse_columns

        opened = open_application(folder, task=task)
        names = parse_columns(columns, opened.task.columns())
        lines = []
        for row in answered(opened, file, names):
            plain = row.pop("plain")
            line = json.dumps(row, ensure_ascii=False)
            if out is not None:
                lines.append(line + "\n")
            else:
                sys.stdout.write((line if as_json else plain) + "\n")
        if out is not None:
            write_text(out, "".join(lines))
            say(f"{len(lines):,} answers in {out}")

    return apply
