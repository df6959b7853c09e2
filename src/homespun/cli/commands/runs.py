"""`homespun runs`: which runs there are and how far they got."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.cli.options import RunsOption

if TYPE_CHECKING:
    from rich.table import Table

    from homespun.recipes import RunSummary


def runs(runs: RunsOption = Path("runs")) -> None:
    """List the runs of a folder, how far each got, and how good it became."""
    from homespun.cli.terminal import fits, out, say, say_below, visible
    from homespun.recipes import list_runs

    found = list_runs(runs)
    if not found:
        say(f"No runs in {runs} yet. Make one with `homespun spin FOLDER --minutes 10`.")
        return
    # The newest comes first, so what a narrow terminal misses least is when each was begun.
    for listing in (_listing(found, with_begun=True), _listing(found, with_begun=False)):
        if fits(listing):
            out().print(listing)
            return
    for run in found:
        say(visible(run.name), "bold")
        say_below(_in_words(run))


def _listing(found: Sequence[RunSummary], *, with_begun: bool) -> Table:
    from homespun.cli.terminal import table, visible

    listing = table("name", "parameters", "bits/byte", "minutes")
    listing.add_column("stage")
    if with_begun:
        listing.add_column("begun", no_wrap=True)
    for run in found:
        cells = [
            visible(run.name),
            "" if run.parameters is None else _size(run),
            "" if run.bits_per_byte is None else f"{run.bits_per_byte:.3f}",
            f"{run.minutes:.1f}",
            run.stage,
        ]
        listing.add_row(*cells, *([_begun(run)] if with_begun else []))
    return listing


def _in_words(run: RunSummary) -> str:
    """A row of the table, for terminals that are too narrow for it."""
    facts = [run.stage, f"{run.minutes:.1f} minutes"]
    if run.parameters is not None:
        facts.append(f"parameters {_size(run)}")
    if run.bits_per_byte is not None:
        facts.append(f"{run.bits_per_byte:.3f} bits/byte")
    if run.created:
        facts.append(f"begun {_begun(run)}")
    return ", ".join(facts)


def _begun(run: RunSummary) -> str:
    return run.created[:16].replace("T", " ")


def _size(run: RunSummary) -> str:
    """Parameters, and the table of a model that has one."""
    from homespun.cli.terminal import count_text

    beside = "" if run.ngrams is None else f" + {count_text(run.ngrams)} n-grams"
    return count_text(run.parameters or 0) + beside
