"""Texts as vectors that are near where texts mean the same (Reimers and Gurevych 2019).

Shape letters: N texts, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError
from homespun.core.machine import num_cores
from homespun.recipes.applications.neural import Base, in_batches, open_base

if TYPE_CHECKING:
    from homespun.models import Encoder

_LONGEST = 256
"""Tokens that are read of a text; MiniLM was taught with no longer ones."""


class Embedder:
    """Mean-pooled vectors of length 1.

    Args:
        base: from `open_base`.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self.context = min(_LONGEST, base.config.context)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D); of a text longer than the context its beginning counts."""
        import torch

        from homespun.models import mean_pooled
        from homespun.training import Example, example_batch

        pieces = self._base.tokenizer.encode_batch(texts, most=self.context)
        width = self._base.config.width
        found_ND = np.zeros((len(texts), width), dtype=np.float32)
        encoder: Encoder = self._base.encoder  # type: ignore[assignment]
        with torch.inference_mode():
            for numbers in in_batches(pieces, lambda piece: len(piece.ids)):
                batch = example_batch([Example(pieces[n].ids, None) for n in numbers])
                mask = None if bool(batch.is_token_BT.all()) else batch.is_token_BT
                hidden_BTD = encoder(batch.ids_BT, is_token_BT=mask)
                found_ND[numbers] = mean_pooled(hidden_BTD, batch.is_token_BT).numpy()
        return found_ND


class Vectors(Protocol):
    """What makes vectors of length 1 of texts."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def open_embedder(folder: Path) -> Vectors:
    """The encoder in a Hugging Face folder, or what `homespun finetune embed` wrote.

    Raises:
        As `open_base`; ConfigError: the folder has learned another task.
    """
    from homespun.recipes.applications import open_application
    from homespun.recipes.applications.record import RECORD_FILE
    from homespun.training import set_threads

    set_threads(num_cores())
    if (folder / RECORD_FILE).is_file():
        opened: Any = open_application(folder, task="embed").learned
        if not hasattr(opened, "embed"):
            raise ConfigError(
                f"{folder} has no vectors: it learned nothing but shared words",
                remedy="learn with --method encoder",
            )
        vectors: Vectors = opened
        return vectors
    base = open_base(folder)
    base.encoder.eval()
    return Embedder(base)
