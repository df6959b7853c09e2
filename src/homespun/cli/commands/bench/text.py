"""`homespun bench text`: bits per byte of ordinary text after the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.commands.bench.peer_options import (
    PeerContextOption,
    PeerEagerOption,
    PeerOption,
    PeerRatesOption,
    PeerRowsOption,
    PeerShapeOption,
    PeerSweepOption,
    peer_settings,
)
from homespun.cli.commands.bench.shakespeare import PresetOption, SetOption, SlidingOption
from homespun.cli.options import JsonOption, SeedOption, minutes, number


def text(
    corpus: Annotated[
        str, typer.Option("--corpus", help="A folder of texts, or a name from `data list`.")
    ] = "gutenberg-classics",
    minutes: Annotated[
        float, typer.Option("--minutes", callback=minutes, help="For each contender.")
    ] = 5.0,
    preset: PresetOption = "fast",
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
    peer_shape: PeerShapeOption = None,
    peer_rows: PeerRowsOption = 12,
    peer_context: PeerContextOption = 256,
    peer_sweep: PeerSweepOption = False,
    peer_eager: PeerEagerOption = False,
    json_file: JsonOption = None,
) -> None:
    """Learn the same tokens for the same time, and be judged by the same complete pass.

    Peers: nanochat=FOLDER and minimind=FOLDER.
    """
    from homespun.cli.commands.bench.shown import show_losses
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import TextAsk, bench_text, parse_peers
    from homespun.recipes.bench.words import PEER

    ask = TextAsk(
        corpus=corpus,
        seconds=60 * minutes,
        vocab_size=vocab,
        preset=preset,
        settings=tuple(settings or ()),
        seed=seed,
        keep=keep,
        sliding=sliding,
        peers=parse_peers(peer or (), known=("nanochat", "minimind", "nanogpt")),
        peer=peer_settings(
            PEER,
            shape=peer_shape,
            rows=peer_rows,
            context=peer_context,
            rates=peer_lr,
            sweep=peer_sweep,
            eager=peer_eager,
        ),
    )
    with open_progress() as progress:
        found = bench_text(ask, progress=progress)
    show_losses(found)
    if json_file is not None:
        write_json(json_file, found)
