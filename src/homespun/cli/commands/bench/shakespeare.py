"""`homespun bench shakespeare`: how low a loss on tiny Shakespeare in how much time."""

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
from homespun.cli.options import (
    JsonOption,
    MinutesOption,
    SeedOption,
    StepsOption,
    StopEarlyOption,
    number,
)

DataOption = Annotated[
    Path | None, typer.Option("--data", help="The text; tiny Shakespeare where not given.")
]
PresetOption = Annotated[str, typer.Option("--preset", help="The recipe to start from.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the recipe: rows=16, model.width=256, optimizer.learning_rate=0.01, …",
    ),
]
EvalOption = Annotated[
    float | None,
    typer.Option(
        "--eval-seconds",
        callback=number(0, above=True),
        help="Estimate the loss this often while training; the time counts.",
    ),
]
TargetOption = Annotated[
    float | None,
    typer.Option(
        "--target",
        callback=number(0, above=True),
        help="Say when a complete validation pass first reached this loss.",
    ),
]
KeepOption = Annotated[
    Path | None, typer.Option("--keep", help="Leave the trained stage in this new folder.")
]
SlidingOption = Annotated[
    bool, typer.Option("--sliding/--no-sliding", help="Judge by sliding windows as well.")
]
LastOption = Annotated[
    bool,
    typer.Option(
        "--last-weights",
        help="Judge our last weights, not those of the lowest held-out loss on the way.",
    ),
]


def shakespeare(
    data: DataOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    seed: SeedOption = 0,
    preset: PresetOption = "fast",
    settings: SetOption = None,
    eval_seconds: EvalOption = None,
    target: TargetOption = None,
    keep: KeepOption = None,
    sliding: SlidingOption = True,
    last_weights: LastOption = False,
    stop_early: StopEarlyOption = False,
    peer: PeerOption = None,
    peer_lr: PeerRatesOption = None,
    peer_shape: PeerShapeOption = None,
    peer_rows: PeerRowsOption = 12,
    peer_context: PeerContextOption = 256,
    peer_sweep: PeerSweepOption = False,
    peer_eager: PeerEagerOption = False,
    json_file: JsonOption = None,
) -> None:
    """Train on nine tenths of a text by characters and predict the rest, every character of it.

    Peers: nanogpt=FOLDER runs its own recipe first, and we then have the seconds it took;
    nanochat=FOLDER learns for as long as we do.
    """
    from homespun.cli.commands.bench.shown import show_losses
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import Asked, bench_shakespeare, parse_peers
    from homespun.recipes.bench.characters import NANOCHAT

    asked = Asked(
        data=data,
        seconds=None if minutes is None else 60 * minutes,
        num_steps=steps,
        seed=seed,
        preset=preset,
        settings=tuple(settings or ()),
        eval_seconds=eval_seconds,
        target=target,
        keep=keep,
        sliding=sliding,
        last_weights=last_weights,
        stop_early=stop_early,
        peers=parse_peers(peer or (), known=("nanogpt", "nanochat")),
        peer=peer_settings(
            NANOCHAT,
            shape=peer_shape,
            rows=peer_rows,
            context=peer_context,
            rates=peer_lr,
            sweep=peer_sweep,
            eager=peer_eager,
        ),
    )
    with open_progress() as progress:
        found = bench_shakespeare(asked, progress=progress)
    show_losses(found)
    if json_file is not None:
        write_json(json_file, found)
