"""Texts as vectors that are near where texts mean the same (Reimers and Gurevych 2019).

Shape letters: N texts, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError
from homespun.core.machine import num_threads
from homespun.recipes.applications.neural import open_base
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.recipes.applications.embed.encoder import LearnedEmbedder


class Vectors(Protocol):
    """What makes vectors of length 1 of texts."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D)."""
        ...


@runtime_checkable
class ReadsTokens(Protocol):
    """What makes vectors, and reads so many tokens of a text and no more.

    Attributes:
        longest: of a text, marks included.
    """

    @property
    def longest(self) -> int: ...

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Texts as tokens, and how many of them are longer than what is read."""
        ...


def open_embedder(folder: Path, *, threads: int | None = None) -> LearnedEmbedder:
    """The encoder in a Hugging Face folder, or what `homespun finetune embed` wrote.

    Args:
        threads: that compute; None for one a core.

    Raises:
        As `check_encoder`, `open_base` and `reading_of`; ConfigError: it has learned another task.
    """
    check_encoder(folder)
    from homespun.recipes.applications.embed.encoder import LearnedEmbedder
    from homespun.recipes.applications.embed.pooling import reading_of
    from homespun.training import set_threads

    set_threads(threads or num_threads())
    if is_application(folder):
        from homespun.recipes.applications import open_application

        opened = open_application(folder, task="embed").learned
        if not isinstance(opened, LearnedEmbedder):
            raise ConfigError(
                f"{folder} has no vectors: it learned nothing but shared words",
                remedy="learn with --method encoder",
            )
        return opened
    base = open_base(folder)
    base.encoder.to(training_device()).eval()
    return LearnedEmbedder.new(base, reading_of(folder))


def check_encoder(folder: Path) -> None:
    """Raises DataError where `folder` holds no encoder, by the names of its files alone."""
    if not is_application(folder) and not (folder / "config.json").is_file():
        raise DataError(
            f"{folder} is not the folder of an encoder: it has no config.json",
            remedy="give that of MiniLM or another BERT, what `homespun encoder` or `finetune "
            "embed` wrote, or hub:OWNER/NAME",
        )


def is_application(folder: Path) -> bool:
    """Whether `homespun finetune` wrote it."""
    from homespun.recipes.applications.record import RECORD_FILE

    return (folder / RECORD_FILE).is_file()
