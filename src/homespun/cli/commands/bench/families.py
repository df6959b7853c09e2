"""`homespun bench families`: every kind of language model on the same text for the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import JsonOption, SeedOption, minutes, number


def families(
    corpus: Annotated[
        str, typer.Option("--corpus", help="A folder of texts, or a name from `data list`.")
    ] = "gutenberg-classics",
    minutes: Annotated[
        float, typer.Option("--minutes", callback=minutes, help="For each family.")
    ] = 10.0,
    family: Annotated[
        list[str] | None, typer.Option("--family", help="Only this one; may be repeated.")
    ] = None,
    megabytes: Annotated[
        float | None,
        typer.Option(
            "--megabytes",
            callback=number(0.01, 1e6),
            help="Of the training text, from all over it; all of it by default.",
        ),
    ] = None,
    vocab: Annotated[
        int, typer.Option(callback=number(264, 1 << 20), help="Size of the shared vocabulary.")
    ] = 2048,
    seed: SeedOption = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", help="Keep text and rows here: a run that was killed goes on with the same."
        ),
    ] = None,
    planned: Annotated[
        bool,
        typer.Option(
            "--planned/--recipe",
            help="Train today's decoder by a plan for this text, or at a size by the simple rule "
            "that the others have.",
        ),
    ] = True,
    peer: Annotated[
        Path | None,
        typer.Option("--peer", help="Checkout of pytorch/examples: its LSTM learns beside ours."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Also draw the table as SVG.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--beside",
            help="What --json kept of another text, for the same picture; may be repeated.",
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """From HMM to today's decoder: bits per byte after the same minutes on the same text."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import count_text, out, say, table
    from homespun.core.files import write_json, write_text
    from homespun.recipes.families import FamiliesAsk, bench_families, read_families
    from homespun.reports.families import draw_families

    others = [read_families(path) for path in beside or ()]
    ask = FamiliesAsk(
        corpus,
        60 * minutes,
        names=tuple(family or ()),
        vocab_size=vocab,
        seed=seed,
        keep=keep,
        peer=peer,
        megabytes=megabytes,
        is_planned=planned,
    )
    with open_progress() as progress:
        found = bench_families(ask, progress=progress)
    shown = table("family", "year", "shape", "numbers", "tokens read", "bits per byte")
    for row in found["families"]:
        shown.add_row(
            row["name"] + (" *" if row["note"] else ""),
            str(row["year"]),
            row["shape"],
            count_text(row["parameters"]),
            count_text(row["tokens_read"]),
            f"{row['val_bpb']:.3f}",
        )
    out().print(shown)
    for row in found["families"]:
        if row["note"]:
            say(f"* {row['name']}: {row['note']}", "dim")
    for failed in found["failed"]:
        say(f"{failed['name']} failed: {failed['error']}", "red")
    if picture is not None:
        write_text(picture, draw_families(*others, found))
    if json_file is not None:
        write_json(json_file, found)
    if found["failed"]:
        raise typer.Exit(1)
