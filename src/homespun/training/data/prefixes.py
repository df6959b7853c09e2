"""Running text in two parts: what stands before is read, what follows is written.

Shape letters: B rows, S read tokens, T written tokens, or tokens of a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from homespun.core import ConfigError, derive_seed
from homespun.training.data.pairs import PairBatch
from homespun.training.data.tokens import IGNORED, Batch, RowSource


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


class PrefixRows:
    """Rows for a decoder that is a prefix language model: of each a part of drawn length, from one
    token to all but one, is seen both ways, and what follows it are the targets.

    Args:
        source: rows of text.
        seed: of the lengths, which are others for each batch.
    """

    def __init__(self, source: RowSource, *, seed: int) -> None:
        self._source, self._seed = source, seed

    def epochs(self, num_batches: int) -> float:
        return self._source.epochs(num_batches)

    def batch(self, index: int) -> Batch:
        """Batch `index`, a function of (seed, index) alone."""
        row = self._source.batch(index)
        B, T = row.ids_BT.shape
        draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "prefix", index)))
        prefix_B = torch.from_numpy(draw.integers(1, max(2, T), B))
        # The last token of the prefix tells the first behind it, which it has not seen.
        is_known_BT = torch.arange(T) < prefix_B[:, None] - 1
        targets_BT = row.targets_BT.masked_fill(is_known_BT, IGNORED)
        return Batch(row.ids_BT, targets_BT, None, None, row.num_tokens, None, prefix_B)

    def describe(self) -> dict[str, Any]:
        return {"kind": "prefix rows", "of": self._source.describe(), "seed": self._seed}
