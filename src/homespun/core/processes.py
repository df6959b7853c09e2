"""Which of several processes this one is, as `torchrun` tells it. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from homespun.core.errors import ConfigError

FIRST_TO_FAIL = "first to fail was process"
"""How the note begins that an error carries out of several processes."""


class Place(NamedTuple):
    """Attributes:
    rank: number of this process among all, from 0; process 0 leads.
    size: how many processes there are.
    local_rank: number of this process on its machine.
    local_size: how many there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_leader(self) -> bool:
        return self.rank == 0


def process_place(environ: Mapping[str, str] = os.environ) -> Place:
    """The place `torchrun` gave this process; the only one where it was started without.

    Raises:
        ConfigError: some of RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE are set and make no
            sense.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    # Schedulers set RANK or WORLD_SIZE for purposes of their own: only torchrun sets all four.
    if any(name not in environ for name in names):
        return Place()
    told = ", ".join(f"{name}={environ[name]}" for name in names)
    try:
        place = Place(*(int(environ[name]) for name in names))
    except ValueError:
        place = Place(rank=-1)
    if not (0 <= place.rank < place.size and 0 <= place.local_rank < place.local_size):
        raise ConfigError(
            "the environment names no place among several processes",
            got=told,
            remedy="start them with torchrun, or unset these variables",
        )
    return place
