"""Choices that depend on names alone, so that one more document does not reshuffle the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from homespun.core import derive_seed

T = TypeVar("T")


def share(seed: int, *names: str | int) -> float:
    """A number in [0, 1), a function of the arguments."""
    return derive_seed(seed, *names) / 2**63


def choose(options: Sequence[T], seed: int, *names: str | int) -> T:
    """One of `options`, a function of the arguments."""
    return options[derive_seed(seed, *names) % len(options)]
