"""`homespun runs`: which runs there are and how far they got."""

from __future__ import annotations

from pathlib import Path

from homespun.cli.options import RunsOption


def runs(runs: RunsOption = Path("runs")) -> None:
    """List the runs of a folder, how far each got, and how good it became."""
    from homespun.cli.terminal import count_text, out, say, table, visible
    from homespun.recipes import list_runs

    found = list_runs(runs)
    if not found:
        say(f"No runs in {runs} yet. Make one with `homespun spin FOLDER --minutes 10`.")
        return
    listing = table("name", "parameters", "bits/byte", "minutes")
    listing.add_column("stage")
    listing.add_column("begun", no_wrap=True)
    for run in found:
        listing.add_row(
            visible(run.name),
            "" if run.parameters is None else count_text(run.parameters) + _beside(run.ngrams),
            "" if run.bits_per_byte is None else f"{run.bits_per_byte:.3f}",
            f"{run.minutes:.1f}",
            run.stage,
            run.created[:16].replace("T", " "),
        )
    out().print(listing)


def _beside(ngrams: int | None) -> str:
    """The table of a model that has one, beside its parameters."""
    from homespun.cli.terminal import count_text

    return "" if ngrams is None else f" + {count_text(ngrams)} n-grams"
