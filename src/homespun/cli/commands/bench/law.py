"""`homespun bench law`: foretell a run ten times larger than any in the fit, then train it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import JsonOption, minutes, number


def law(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of a sweep, or of a new one.")
    ] = Path("sweeps/classics"),
    corpus: Annotated[
        str, typer.Option(help="Of a new sweep: a folder, a file, or a corpus by name.")
    ] = "gutenberg-classics",
    sweep_minutes: Annotated[
        float | None,
        typer.Option("--minutes", callback=minutes, help="Of a new sweep; all of the grid."),
    ] = None,
    factor: Annotated[
        float, typer.Option(callback=number(1, 1000), help="Times the largest run's operations.")
    ] = 10.0,
    json_file: JsonOption = None,
) -> None:
    """Write down what a sweep says of a larger run, train it, and say how far off it was."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.core.files import write_json
    from homespun.recipes.scale.hold_out import ensure_sweep, hold_out, pre_register
    from homespun.recipes.scale.sweep import SweepConfig

    with open_progress() as progress:
        config = SweepConfig(corpus=corpus, budget_minutes=sweep_minutes)
        ensure_sweep(folder, config, progress=progress)
        said = pre_register(folder, factor=factor)
        say(
            f"foretold: {said.width}x{said.num_layers} on {said.tokens:,} tokens reaches "
            f"{said.loss:.4f} nats ({said.low:.4f} to {said.high:.4f}) by the "
            + ("law" if said.law_loss is None else f"lower edge, {said.law_loss:.4f} by the law")
            + f"; sha256 {said.sha256}"
        )
        found = hold_out(folder, factor=factor, progress=progress)
    where = "inside" if found["inside"] else "outside"
    say(
        f"trained: {found['val_loss']:.4f} nats, {found['val_bpb']:.4f} bits per byte, "
        f"{100 * found['error']:+.2f}% and {where} the interval; the bar is "
        f"{100 * found['bar']:g}% and inside"
    )
    if json_file is not None:
        write_json(json_file, found)
