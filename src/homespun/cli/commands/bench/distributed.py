"""`homespun bench distributed`: several processes train as one does."""

from __future__ import annotations

from typing import Annotated

import typer

from homespun.cli.options import JsonOption, number


def distributed(
    json_file: JsonOption = None,
    steps: Annotated[int, typer.Option(callback=number(4, 10_000), help="Steps of each.")] = 50,
    processes: Annotated[int, typer.Option(callback=number(2, 8), help="Beside one.")] = 2,
) -> None:
    """Compare losses of one process with those of several, by DDP and FSDP2, AdamW and Muon."""
    import tempfile
    import time
    from pathlib import Path

    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import out, say, table
    from homespun.core.files import write_json
    from homespun.training.distributed.agreement import TOLERANCE, measure_agreement

    began = time.monotonic()
    with open_progress() as progress, tempfile.TemporaryDirectory() as folder:
        rows = measure_agreement(
            Path(folder), steps=steps, num_processes=processes, progress=progress
        )
    shown = table("optimiser", "strategy", "processes", "largest difference", "last loss")
    for row in rows:
        shown.add_row(
            row["optimizer"],
            row["strategy"],
            row["processes"],
            f"{row['largest_difference']:.1e}",
            f"{row['last_loss']:.4f}",
        )
    out().print(shown)
    largest = max(row["largest_difference"] for row in rows)
    verdict = "met" if largest <= TOLERANCE else "missed"
    say(f"{steps} steps of each; the bar of {TOLERANCE:g} is {verdict}")
    if json_file is not None:
        seconds = round(time.monotonic() - began, 1)
        write_json(
            json_file,
            {
                "format": 1,
                "bar": TOLERANCE,
                "met": largest <= TOLERANCE,
                "steps": steps,
                "seconds": seconds,
                "ways": rows,
            },
        )
    if largest > TOLERANCE:
        raise typer.Exit(1)
