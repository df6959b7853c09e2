"""Which kernels a run trains with: chosen once, when it is planned, and kept in its plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from homespun.core import ConfigError

if TYPE_CHECKING:
    from homespun.models.native import NativeKernels


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


def load_by_name(name: Literal["torch", "native"]) -> NativeKernels | None:
    """What `use_kernels` takes. Raises ConfigError where "native" is not to be had."""
    from homespun.models.native import load_kernels

    return load_kernels() if name == "native" else None
