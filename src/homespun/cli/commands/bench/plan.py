"""`homespun bench plan`: plans for several budgets, each kept to, and how true they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.options import (
    JsonOption,
    PortableOption,
    PresetOption,
    chosen_preset,
    minutes,
)


def plan(
    budgets: Annotated[
        list[float] | None,
        typer.Option("--minutes", help="A budget; give it several times. 2, 3, 5 by default."),
    ] = None,
    corpus: Annotated[
        str, typer.Option(help="A folder, a file, or a corpus by name.")
    ] = "gutenberg-classics",
    portable: PortableOption = False,
    preset: PresetOption = None,
    keep: Annotated[
        Path, typer.Option("--keep", help="The runs stay here; finished budgets are not repeated.")
    ] = Path("bench-plans"),
    json_file: JsonOption = None,
) -> None:
    """Plan for each budget, train by the plan, and compare: time, loss, memory."""
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import PromiseAsk, bench_promises

    wanted = [minutes(budget) for budget in budgets or (2.0, 3.0, 5.0)]
    ask = PromiseAsk(corpus, wanted, keep, chosen_preset(preset, portable))
    with open_progress() as progress:
        found = bench_promises(ask, progress=progress)
    show_promises(found)
    if json_file is not None:
        write_json(json_file, found)


def show_promises(found: dict[str, Any]) -> None:
    """A row a budget, what was said beside what came, and whether the bars were met."""
    from homespun.cli.terminal import bytes_text, out, say, table

    # Within 80 columns: what came, and by how much it was off.
    shown = table("min", "model", "seconds", "off", "bits/byte", "off", "in", "memory", "off")
    for row in found["plans"]:
        shown.add_row(
            f"{row['minutes']:g}",
            f"{row['preset']} {row['size']}",
            f"{row['seconds']:.0f}",
            f"{row['finish_error']:+.1%}",
            f"{row['val_bpb']:.3f}",
            f"{row['loss_error']:+.1%}",
            "yes" if row["inside"] else "no",
            bytes_text(row["peak_memory_bytes"]),
            f"{row['memory_error']:+.0%}",
        )
    out().print(shown)
    bars, kept = found["bars"], found["kept"]
    for name, words in (
        ("finish", f"ends within {bars['finish']:.0%} of what was said"),
        ("loss", f"loss within {bars['loss']:.0%} of the prediction"),
        ("memory", f"memory within {bars['memory']:.0%} of the prediction and never over it"),
    ):
        say(f"bar: {words}: {'met' if kept[name] else 'missed'}")
    say(f"inside the 95% interval: {kept['inside']} of {len(found['plans'])}")
