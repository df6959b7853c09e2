"""`homespun average`: the mean of checkpoints or of runs, measured against each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import JsonOption, NameOption, RunArgument, RunsOption, resolve_run


def average(
    run: RunArgument,
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="More runs of the same shape.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", help="How many of the newest checkpoints; all if left.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Of the mean, as in 1,2,4; equal if left out.")
    ] = None,
    name: NameOption = None,
    json: JsonOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Average the last checkpoints of a run, or several runs, and say whether it is better.

    The average is kept as a new run where it is given a name with --name.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.core.files import write_json
    from homespun.recipes import average_run

    path = resolve_run(run, runs=runs)
    more = [resolve_run(other, runs=runs) for other in others or []]
    with open_progress() as progress:
        found = average_run(
            path, more, last=last, weights=_numbers(weights), name=name, progress=progress
        )
    for part in found["parts"]:
        bits, weight = part["bits_per_byte"], part["weight"]
        say(f"{part['name']}: {bits:.4f} bits per byte, weight {weight:.2f}")
    say(f"average: {found['average']['bits_per_byte']:.4f} bits per byte", "bold")
    for sentence in found["sentences"]:
        say(sentence)
    if found["run"] is not None:
        say(f"kept as {found['run']}")
    if json is not None:
        write_json(json, found)


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"got {text!r}, give numbers with commas between, as in 1,2,4", param_hint="--weights"
        ) from None
