"""Several sources in one: each row of a batch is dealt to one of them, in fixed shares.

Shape letters: B rows of a batch, T tokens of a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from homespun.core import ConfigError
from homespun.training.data.tokens import Batch, BatchSource


class MixedBatches:
    """Rows of several sources, interleaved so evenly that after any number of rows each source has
    had its share of them, but for one row.

    Which row goes to which source is a function of the row's number alone, and every source deals
    its own rows in its own seeded order: so batch `index` is a function of `index` alone, and a
    resumed stage reads on where it stopped.

    Args:
        sources: each gives batches of one row, all of the same length; the first counts the epochs.
        shares: of the rows, one a source, positive; they are divided by their sum.
        rows: of a batch.

    Raises:
        ConfigError: not one positive share a source.
    """

    def __init__(
        self, sources: Sequence[BatchSource], *, shares: Sequence[float], rows: int
    ) -> None:
        if len(shares) != len(sources) or not sources or min(shares) <= 0:
            raise ConfigError(
                "every source of a mixture needs a share above 0",
                got=list(shares),
                remedy="leave out a source that is not wanted",
            )
        self._sources = list(sources)
        self._rows = rows
        # Of the rows that no later source takes.
        self._of_the_rest = [
            share / math.fsum(shares[: which + 1]) for which, share in enumerate(shares)
        ]

    def batch(self, index: int) -> Batch:
        """Batch `index`: ids and targets [B, T]."""
        first = index * self._rows
        dealt = [self.deal(number) for number in range(first, first + self._rows)]
        parts: list[Batch] = [self._sources[which].batch(row) for which, row in dealt]
        return Batch(
            torch.cat([part.ids_BT for part in parts]),
            torch.cat([part.targets_BT for part in parts]),
            _joined([part.positions_BT for part in parts]),
            _joined([part.segments_BT for part in parts]),
            sum(part.num_tokens for part in parts),
            _joined([part.blocks_BT for part in parts]),
        )

    def deal(self, number: int) -> tuple[int, int]:
        """The source of row `number`, and which of that source's rows it is.

        The last source takes its share of the rows, the one before its share of what is left, and
        so on: a row goes to a source whenever its share of the rows so far passes a whole number.
        """
        for which in range(len(self._sources) - 1, 0, -1):
            share = self._of_the_rest[which]
            before = math.floor(number * share)
            if math.floor((number + 1) * share) > before:
                return which, before
            number -= before
        return 0, number

    def epochs(self, num_batches: int) -> float:
        """How often the first source has been seen."""
        return self._sources[0].epochs(self.rows_of(0, num_batches))

    def most_epochs(self, num_batches: int) -> float:
        """How often that source has been seen which is read most often."""
        return max(
            source.epochs(self.rows_of(which, num_batches))
            for which, source in enumerate(self._sources)
        )

    def rows_of(self, which: int, num_batches: int) -> int:
        """Rows of source `which` in the first `num_batches` batches."""
        number = num_batches * self._rows
        for source in range(len(self._sources) - 1, 0, -1):
            taken = math.floor(number * self._of_the_rest[source])
            if source == which:
                return taken
            number -= taken
        return number

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "mixed",
            "rows": self._rows,
            "shares_of_the_rest": self._of_the_rest,
            "sources": {str(i): source.describe() for i, source in enumerate(self._sources)},
        }


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    assert len(there) in (0, len(parts)), "mix sources of one kind"
    return torch.cat(there) if there else None
