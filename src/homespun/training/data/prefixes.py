"""Running text as pairs: what stands before is read, what follows is written.

Shape letters: B rows, S read tokens, T written tokens.
"""

from __future__ import annotations

from typing import Any

import torch

from homespun.core import ConfigError
from homespun.training.data.pairs import PairBatch
from homespun.training.data.tokens import RowSource


class PrefixBatches:
    """The first half of each row is read, the second written: how an encoder-decoder learns to go
    on with a text (a prefix language model, Raffel et al. 2020, arXiv 1910.10683, section 3.2).

    Args:
        source: rows of an even number of tokens.
        context: tokens of a row.

    Raises:
        ConfigError: the context is odd.
    """

    def __init__(self, source: RowSource, *, context: int) -> None:
        if context % 2:
            raise ConfigError(
                "a row is cut in two halves", got=f"{context} tokens", remedy=f"take {context + 1}"
            )
        self._source, self._half = source, context // 2

    def epochs(self, num_batches: int) -> float:
        return self._source.epochs(num_batches)

    def batch(self, index: int) -> PairBatch:
        """Batch `index`: each written token is told from all before it, read or written."""
        row = self._source.batch(index)
        half = self._half
        source_BS = row.ids_BT[:, :half]
        return PairBatch(
            source_BS,
            torch.ones_like(source_BS, dtype=torch.bool),
            row.ids_BT[:, half:],
            row.targets_BT[:, half:],
            row.num_tokens,
        )

    def describe(self) -> dict[str, Any]:
        return {"kind": "prefixes", "of": self._source.describe()}
