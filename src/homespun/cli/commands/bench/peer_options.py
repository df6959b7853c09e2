"""Options about peers that several benchmarks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from homespun.cli.options import number

if TYPE_CHECKING:
    from homespun.recipes.bench.duel import PeerSettings

PeerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        metavar="NAME=FOLDER",
        help="Measure another project beside us: its name and its checkout.",
    ),
]
PeerRatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--peer-lr",
        metavar="NAME=NUMBER,…",
        help="Learning rates: nanochat has matrix, scale (of the rest) and decay, others lr.",
    ),
]
PeerShapeOption = Annotated[
    str | None, typer.Option("--peer-shape", metavar="LAYERSxWIDTH", help="Of peers' models.")
]
PeerRowsOption = Annotated[
    int, typer.Option("--peer-rows", callback=number(1, 4096), help="Sequences a step of peers.")
]
PeerContextOption = Annotated[
    int, typer.Option("--peer-context", callback=number(2, 8192), help="Tokens a sequence.")
]
PeerSweepOption = Annotated[
    bool,
    typer.Option(
        "--peer-sweep",
        help="Try peers' learning rates first, each for a fifth of the time, which does not count.",
    ),
]
PeerEagerOption = Annotated[
    bool, typer.Option("--peer-eager", help="nanochat without torch.compile.")
]


def peer_settings(
    usual: PeerSettings,
    *,
    shape: str | None,
    rows: int,
    context: int,
    rates: list[str] | None,
    sweep: bool,
    eager: bool,
) -> PeerSettings:
    """What the options above say of peers' models, `usual` where they say nothing.

    Raises:
        ConfigError: a shape or a rate is not written as the options ask.
    """
    from homespun.recipes.bench.duel import parse_rates, parse_shape

    layers, width = parse_shape(shape) if shape else usual[:2]
    return usual._replace(
        num_layers=layers,
        width=width,
        rows=rows,
        context=context,
        rates=parse_rates(rates or ()),
        sweep=sweep,
        compile=not eager,
    )
