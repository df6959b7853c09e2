"""`homespun report`: one offline HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import RunArgument, RunsOption, resolve_run


def report(
    run: RunArgument,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Write report.html of a run: what it read, how it learned, how good it became."""
    from homespun.cli.terminal import say
    from homespun.recipes import report_stage

    path = report_stage(resolve_run(run, runs=runs))
    say(str(path))
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
