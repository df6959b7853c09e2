"""`homespun bench text`: bits per byte of ordinary text after the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from homespun.cli.commands.bench.peer_options import (
    PeerContextOption,
    PeerEagerOption,
    PeerOption,
    PeerRatesOption,
    PeerRowsOption,
    PeerSweepOption,
    peer_settings,
)
from homespun.cli.commands.bench.shakespeare import SetOption, SlidingOption
from homespun.cli.options import JsonOption, SeedOption, minutes, number

if TYPE_CHECKING:
    from homespun.recipes.scale.shapes import Preset


def text(
    corpus: Annotated[
        str, typer.Option("--corpus", help="A folder of texts, or a name from `data list`.")
    ] = "gutenberg-classics",
    minutes: Annotated[
        float, typer.Option("--minutes", callback=minutes, help="For each contender.")
    ] = 5.0,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", help="Ours: fast where not given; may be given twice."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="Of our models, as 64x3 or a name; else the plan's choice."),
    ] = None,
    planned: Annotated[
        bool,
        typer.Option(
            "--planned/--recipe",
            help="Train ours by a plan for this text, or by the starting recipe.",
        ),
    ] = True,
    vocab: Annotated[
        int, typer.Option(callback=number(264, 1 << 20), help="Size of the shared vocabulary.")
    ] = 2048,
    settings: SetOption = None,
    seed: SeedOption = 0,
    sliding: SlidingOption = True,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep the prepared text here and use it again.")
    ] = None,
    peer: PeerOption = None,
    peer_lr: PeerRatesOption = None,
    peer_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--peer-shape",
            metavar="LAYERSxWIDTH",
            help="Of peers' models; given twice, each is trained, with the rates of the first.",
        ),
    ] = None,
    peer_rows: PeerRowsOption = 12,
    peer_context: PeerContextOption = 256,
    peer_sweep: PeerSweepOption = False,
    peer_eager: PeerEagerOption = False,
    json_file: JsonOption = None,
) -> None:
    """Learn the same tokens for the same time, and be judged by the same complete pass.

    Peers: nanochat=FOLDER, minimind=FOLDER and nanogpt=FOLDER.
    """
    from homespun.cli.commands.bench.shown import show_losses
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import TextAsk, bench_text, parse_peers
    from homespun.recipes.bench.duel import parse_shape
    from homespun.recipes.bench.words import PEER

    ask = TextAsk(
        corpus=corpus,
        seconds=60 * minutes,
        vocab_size=vocab,
        presets=cast("list[Preset]", preset or ["fast"]),  # checked where it is used
        size=size,
        is_planned=planned,
        settings=tuple(settings or ()),
        seed=seed,
        keep=keep,
        sliding=sliding,
        peers=parse_peers(peer or (), known=("nanochat", "minimind", "nanogpt")),
        peer=peer_settings(
            PEER,
            shape=None,
            rows=peer_rows,
            context=peer_context,
            rates=peer_lr,
            sweep=peer_sweep,
            eager=peer_eager,
        ),
        peer_shapes=[parse_shape(shape) for shape in peer_shape or ()],
    )
    with open_progress() as progress:
        found = bench_text(ask, progress=progress)
    show_losses(found)
    if json_file is not None:
        write_json(json_file, found)
