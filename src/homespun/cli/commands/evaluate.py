"""`homespun eval`: measure a run's model and judge it."""

from __future__ import annotations

from pathlib import Path

from homespun.cli.options import RunArgument, RunsOption, resolve_run


def evaluate(run: RunArgument, runs: RunsOption = Path("runs")) -> None:
    """Measure the model on text it has not seen, and say plainly how good it is."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import print_next, print_summary
    from homespun.recipes import evaluate_stage

    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        evaluate_stage(path, progress=progress)
    print_summary(path)
    print_next(path)
