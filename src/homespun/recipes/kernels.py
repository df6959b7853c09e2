"""Which kernels a run trains with: chosen once, when it is planned, and kept in its plan."""

from __future__ import annotations

from typing import Literal, NamedTuple

from homespun.core import ConfigError


class KernelChoice(NamedTuple):
    """Attributes:
    name: as in `TrainConfig.kernels`.
    why: a sentence on why not the faster ones; empty where they are taken.
    """

    name: Literal["torch", "native"]
    why: str


def best_kernels() -> KernelChoice:
    """The compiled ones, unless they cannot be had: compiling takes two seconds, once a machine."""
    from homespun.models.native import load_kernels

    try:
        load_kernels()
    except ConfigError as error:
        return KernelChoice("torch", f"training will be slower: {error}")
    return KernelChoice("native", "")
