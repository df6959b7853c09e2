"""Which peers to measure, and where their code lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from homespun.core import ConfigError, did_you_mean

# name: files that only a checkout of it has
PEERS: dict[str, tuple[str, ...]] = {
    "nanogpt": ("train.py", "model.py", "configurator.py"),
    "nanochat": ("nanochat/gpt.py", "nanochat/optim.py"),
    "minimind": ("model/model_minimind.py",),
    "transformers": (),
}


class Peer(NamedTuple):
    """Attributes:
    name: one of `PEERS`.
    path: its checkout; None for an installed package.
    """

    name: str
    path: Path | None


def parse_peers(given: Iterable[str], *, known: Sequence[str] = tuple(PEERS)) -> list[Peer]:
    """Peers written as `nanogpt=FOLDER`, or `transformers` for the installed package.

    Args:
        given: one a peer.
        known: those this benchmark can measure.

    Raises:
        ConfigError: the name is unknown, or the folder is not a checkout of it.
    """
    peers = []
    for text in given:
        name, equals, folder = text.partition("=")
        if name not in known:
            raise ConfigError(
                "there is no peer of that name here",
                got=name,
                remedy=did_you_mean(name, list(known)),
            )
        if not PEERS[name]:
            if find_spec(name) is None:
                raise ConfigError(f"{name} is not installed", remedy=f"run `pip install {name}`")
            peers.append(Peer(name, None))
            continue
        path = Path(folder).expanduser()
        absent = [file for file in PEERS[name] if not (path / file).is_file()]
        if not equals or not folder or absent:
            raise ConfigError(
                f"{folder or 'nothing'} is not a checkout of {name}",
                got=f"no {absent[0]} in it" if folder else text,
                remedy=f"give --peer {name}=FOLDER with the folder that holds {PEERS[name][0]}",
            )
        peers.append(Peer(name, path.resolve()))
    return peers
