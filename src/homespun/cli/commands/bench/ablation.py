"""`homespun bench ablation`: what each part of the recipe is worth, by several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from homespun.cli.commands.bench.shakespeare import SetOption
from homespun.cli.options import JsonOption, minutes, number, whole_numbers

if TYPE_CHECKING:
    from homespun.recipes.scale.shapes import Preset


def ablation(
    corpus: Annotated[
        str, typer.Option("--corpus", help="A folder of texts, or a name from `data list`.")
    ] = "gutenberg-classics",
    minutes: Annotated[
        float, typer.Option("--minutes", callback=minutes, help="For each training.")
    ] = 1.0,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            callback=number(1, 10**9),
            help="End each by steps, and not by time: what a part is worth, its price left out.",
        ),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Of the recipe: fast or portable.")] = (
        "fast"
    ),
    size: Annotated[
        str | None, typer.Option("--size", help="As 64x3 or a name; else the plan's choice.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Of the usual changes; several times."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change",
            metavar="NAME:KEY=VALUE,…",
            help="One of your own; settings as for --set. Alone, the usual ones are not tried.",
        ),
    ] = None,
    settings: SetOption = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="One training of each with each of these.")
    ] = "0,1,2",
    vocab: Annotated[
        int, typer.Option(callback=number(264, 1 << 20), help="Size of the vocabulary.")
    ] = 2048,
    keep: Annotated[
        Path, typer.Option("--keep", help="Finished trainings stay here and are not repeated.")
    ] = Path("bench-ablation"),
    json_file: JsonOption = None,
) -> None:
    """Train the recipe of a plan, and the same with one part taken away or added, for as long.

    Differences are between trainings of the same seed, their interval by Student's t.
    """
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench.ablation import AblationAsk, bench_ablation, parse_variant
    from homespun.recipes.plan import check_preset

    check_preset(preset)
    ask = AblationAsk(
        corpus,
        60 * minutes,
        keep,
        num_steps=steps,
        preset=cast("Preset", preset),
        size=size,
        only=tuple(only or ()),
        changes=tuple(parse_variant(text) for text in change or ()),
        settings=tuple(settings or ()),
        seeds=whole_numbers(seeds, "--seeds"),
        vocab_size=vocab,
    )
    with open_progress() as progress:
        found = bench_ablation(ask, progress=progress)
    show_ablation(found)
    if json_file is not None:
        write_json(json_file, found)


def show_ablation(found: dict[str, Any]) -> None:
    """A row a variant, the recipe itself first, then from what helps most to what harms most."""
    from homespun.cli.terminal import out, say, table

    shown = table("recipe", "loss", "bits/byte", "difference", "95%", "tokens/s", "seeds")
    base, *others = found["variants"]
    for row in (base, *sorted(others, key=lambda row: row["difference"] or 0.0)):
        is_base = row is base
        low, high = row["low"], row["high"]
        shown.add_row(
            row["variant"],
            f"{row['val_loss']:.4f}",
            f"{row['val_bpb']:.4f}",
            "" if is_base or row["difference"] is None else f"{row['difference']:+.4f}",
            "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}",
            "" if row["speed"] is None else f"x{row['speed']:.2f}",
            str(len(row["losses"])),
        )
    out().print(shown)
    length = f"{found['num_steps']:,} steps" if found["num_steps"] else f"{found['seconds']:.0f} s"
    say(
        f"{found['preset']} {found['size']}, {length} each; loss: nats per token of all held-out "
        "text; difference: to the recipe as it is, of the same seeds, below 0 where the change "
        "helps; an interval that holds 0 tells nothing"
    )
