"""Peers learn the same token stream for the same time, with learning rates given or swept."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from homespun.core import ConfigError, Progress, did_you_mean
from homespun.recipes.bench.contender import Contender
from homespun.recipes.bench.peers import Peer, Shape

# Rates that may be given, and the grids of a sweep: three by three, or three.
RATES = {"nanochat": ("matrix", "scale", "decay"), "minimind": ("lr",), "nanogpt": ("lr",)}
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "nanochat": {"matrix": (0.01, 0.02, 0.04), "scale": (0.2, 0.4, 0.8)},
    "minimind": {"lr": (5e-4, 2e-3, 6e-3)},
    "nanogpt": {"lr": (1e-3, 2e-3, 4e-3)},
}
SWEEP_SHARE = 0.2
_SHAPE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,4})")


class PeerSettings(NamedTuple):
    """What may be chosen of a peer.

    Attributes:
        num_layers, width: of its model; heads are 64 wide where that divides the width, else 32.
        rows, context: of its batches.
        rates: learning rates by name; its own where absent.
        sweep: whether rates that are not given are tried first, each for a fifth of the time, which
            does not count.
        compile: whether nanochat compiles its model, as its script does.
    """

    num_layers: int
    width: int
    rows: int
    context: int
    rates: Mapping[str, float]
    sweep: bool = False
    compile: bool = True

    def shape(self, vocab_size: int) -> Shape:
        head = 64 if self.width % 64 == 0 else 32
        if self.width % head:
            raise ConfigError(
                "a peer's width must be a multiple of 32", got=self.width, remedy="choose one"
            )
        return Shape(self.num_layers, self.width, self.width // head, vocab_size, self.context)


def parse_shape(text: str) -> tuple[int, int]:
    """ "4x256" as layers and width.

    Raises:
        ConfigError: it is not written so.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ConfigError(
            "a shape is written LAYERSxWIDTH", got=text, remedy="write for example 4x256"
        )
    return int(match[1]), int(match[2])


def parse_rates(given: Iterable[str]) -> dict[str, float]:
    """ "matrix=0.02,scale=0.4" as numbers by name.

    Raises:
        ConfigError: no peer has a rate of that name, or it is no number above 0.
    """
    known = sorted({name for names in RATES.values() for name in names})
    rates = {}
    for part in (part for text in given for part in text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise ConfigError(
                "no peer has a rate of that name", got=part, remedy=did_you_mean(name, known)
            )
        try:
            rates[name] = float(value)
        except ValueError:
            rates[name] = -1.0
        if not 0.0 < rates[name] < 1e3:
            raise ConfigError(
                f"{name} must be a number above 0", got=value, remedy=f"give {name}=0.01"
            )
    return rates


def check_settings(
    peers: Sequence[str], settings: PeerSettings, shapes: Sequence[tuple[int, int]] = ()
) -> None:
    """Before anybody learns.

    Args:
        peers: names of those that learn by these settings.
        shapes: layers and widths in place of the settings' own.

    Raises:
        ConfigError: a width cannot be, or a rate is of none of the peers.
    """
    for layers, width in shapes or (settings[:2],):
        settings._replace(num_layers=layers, width=width).shape(2)
    known = {name for peer in peers for name in RATES[peer]}
    for name in settings.rates:
        if name not in known:
            raise ConfigError(
                f"none of the peers that learn here has a rate '{name}'",
                got=", ".join(peers) or "no peers",
                remedy="leave it out of --peer-lr, or name its project with --peer",
            )


def learn_and_judge_peer(
    peer: Peer,
    where: Mapping[str, Any],
    settings: PeerSettings,
    *,
    seconds: float,
    seed: int,
    sliding: bool = True,
    progress: Progress,
) -> dict[str, Any]:
    """Let a peer learn for `seconds`, process start included, and judge it; swept first if asked,
    those of its rates that are not given.

    Args:
        where: of the token text, as `save_text` gives it.
    """
    rates = {name: settings.rates[name] for name in RATES[peer.name] if name in settings.rates}
    job = {
        "job": "learn",
        "name": peer.name,
        "path": str(peer.path),
        "text": dict(where),
        "shape": settings.shape(where["vocab_size"])._asdict(),
        "rows": settings.rows,
        "dtype": "auto",
        "compile": settings.compile and peer.name == "nanochat",
        "rates": rates,
        "seed": seed,
        "sliding": sliding,
    }
    environment = {} if settings.compile else {"TORCHDYNAMO_DISABLE": "1"}
    trials: list[dict[str, Any]] = []
    grid = {name: values for name, values in GRIDS[peer.name].items() if name not in rates}
    if settings.sweep and grid:
        choices = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        task = progress.task(f"{peer.name}: trying learning rates", len(choices), "trials")
        for choice in choices:
            trial = {**job, "rates": {**rates, **choice}, "seconds": SWEEP_SHARE * seconds}
            found = _learn(peer.name, {**trial, "sliding": False}, environment)
            loss = found["val_loss"] if math.isfinite(found["val_loss"]) else None
            trials.append({"rates": choice, "val_loss": loss})
            task.advance(note=f"{choice}: {found['val_loss']:.3f}")
        task.finish()
        best = min(trials, key=_loss_of)
        job["rates"] = {**rates, **best["rates"]}
    task = progress.task(f"{peer.name}: learning", unit="")
    found = _learn(peer.name, {**job, "seconds": seconds}, environment)
    task.finish(f"loss {found['val_loss']:.4f}")
    return {
        **found,
        "compiled": job["compile"],
        "rows": settings.rows,
        "shape": job["shape"],
        "sweep": trials,
    }


def _loss_of(trial: Mapping[str, Any]) -> float:
    loss: float | None = trial["val_loss"]
    return math.inf if loss is None else loss


def _learn(name: str, job: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    started = time.monotonic()  # one clock for all processes of a machine
    with Contender(name, {**job, "started": started}, environment=environment) as child:
        return child.answer()
