"""`homespun bench train`: tokens a second, ours beside others'."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from homespun.cli.commands.bench.peer_options import PeerOption
from homespun.cli.options import JsonOption, number


class OptimizerName(StrEnum):
    """Ours to measure with."""

    adamw = "adamw"
    muon = "muon"


SizeOption = Annotated[
    list[str] | None, typer.Option("--size", help="1m, 2m, 5m or 12m; may be given several times.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", callback=number(1, 1024), help="Of every contender alike."),
]


def train(
    size: SizeOption = None,
    peer: PeerOption = None,
    rows: Annotated[int, typer.Option(callback=number(1, 4096), help="Sequences a step.")] = 16,
    context: Annotated[
        int, typer.Option(callback=number(2, 8192), help="Tokens a sequence.")
    ] = 256,
    seconds: Annotated[
        float, typer.Option(callback=number(0, above=True), help="Each contender and size.")
    ] = 10.0,
    optimizer: Annotated[
        list[OptimizerName] | None,
        typer.Option(help="Ours, muon where not given; may be given several times."),
    ] = None,
    threads: ThreadsOption = None,
    peer_tuned: Annotated[
        bool, typer.Option("--peer-tuned", help="Peers with our process settings as well.")
    ] = False,
    peer_compiled: Annotated[
        bool, typer.Option("--peer-compiled", help="Peers with torch.compile as well.")
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Time whole training steps of four sizes on random ids, contenders taking turns.

    Peers: nanogpt=FOLDER, nanochat=FOLDER, minimind=FOLDER, and transformers where installed.
    """
    from homespun.cli.commands.bench.shown import show_speeds
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import SIZES, SpeedAsk, bench_speed, parse_peers

    ask = SpeedAsk(
        sizes=tuple(size or SIZES),
        peers=parse_peers(peer or ()),
        rows=rows,
        context=context,
        seconds=seconds,
        optimizers=tuple(name.value for name in optimizer or (OptimizerName.muon,)),
        threads=threads,
        tuned=peer_tuned,
        compiled=peer_compiled,
    )
    with open_progress() as progress:
        found = bench_speed(ask, progress=progress)
    show_speeds(found)
    if json_file is not None:
        write_json(json_file, found)
