"""`homespun bench lm-eval`: tasks of lm-eval's own collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import JsonOption, RunArgument, RunsOption, number, resolve_run


def lm_eval(
    run: RunArgument,
    task: Annotated[
        list[str], typer.Option("--task", help="As lm-eval names it, as piqa; may be repeated.")
    ],
    most: Annotated[
        int | None,
        typer.Option("--most", callback=number(1, 10**7), help="Questions of each task."),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option("--shots", callback=number(0, 100), help="Worked examples before each."),
    ] = None,
    include: Annotated[
        Path | None,
        typer.Option("--include", help="Folder with tasks of your own, in lm-eval's YAML."),
    ] = None,
    runs: RunsOption = Path("runs"),
    json_file: JsonOption = None,
) -> None:
    """Let lm-eval ask the model tasks of its own, which needs the network, or of yours.

    Needs `pip install lm-eval`.
    """
    from homespun.cli.terminal import out, table
    from homespun.core.files import write_json
    from homespun.recipes.questions import evaluate_tasks
    from homespun.recipes.run import open_run

    opened = open_run(resolve_run(run, runs=runs))
    found = evaluate_tasks(opened, task, most=most, shots=shots, include=include)
    shown = table("task", "measure", "value")
    for name, row in found["tasks"].items():
        for measure, value in row.items():
            shown.add_row(name, measure, f"{value:.4g}")
    out().print(shown)
    if json_file is not None:
        write_json(json_file, found)
