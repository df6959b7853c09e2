"""Pairs of texts, one to be read and one to be written, in batches of like lengths.

Shape letters: B rows of a batch, S read tokens, T written tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import DataError
from homespun.training.data.lengths import LengthGroups
from homespun.training.data.tokens import IGNORED, row_parts

Pair = tuple[Sequence[int], Sequence[int]]


class PairBatch(NamedTuple):
    """Attributes:
    source_BS: int64 ids that are read, filled up with zeros.
    is_source_BS: bool, False where a row is filled up.
    ids_BT: int64 ids that are written so far: a start mark, then the text.
    targets_BT: int64, the id that follows each, an end mark last; `IGNORED` behind it.
    num_tokens: read and to be written, without what fills up.
    """

    source_BS: Tensor
    is_source_BS: Tensor
    ids_BT: Tensor
    targets_BT: Tensor
    num_tokens: int

    @property
    def num_rows(self) -> int:
        return len(self.source_BS)

    def rows(self, start: int, stop: int) -> PairBatch:
        """The rows start .. stop-1 alone."""
        part = slice(start, stop)
        is_source_BS, targets_BT = self.is_source_BS[part], self.targets_BT[part]
        num = int(is_source_BS.sum()) + int((targets_BT != IGNORED).sum())
        return PairBatch(self.source_BS[part], is_source_BS, self.ids_BT[part], targets_BT, num)

    def split(self, num_parts: int) -> list[PairBatch]:
        """The same rows in `num_parts` batches of nearly equal size; in fewer where there are
        fewer rows."""
        return [self.rows(*part) for part in row_parts(self.num_rows, num_parts)]

    def to(self, device: torch.device) -> PairBatch:
        return PairBatch(
            self.source_BS.to(device, non_blocking=True),
            self.is_source_BS.to(device, non_blocking=True),
            self.ids_BT.to(device, non_blocking=True),
            self.targets_BT.to(device, non_blocking=True),
            self.num_tokens,
        )


class PairBatches:
    """Batches of about `tokens` tokens a side, of pairs of like lengths, each pair once an epoch.

    Every batch is of one of `LENGTHS`, so that few places are filled up; which pairs share a batch
    and the order of batches are drawn anew for each epoch, from the seed and the epoch alone.

    Args:
        pairs: ids that are read and that are written, without marks.
        tokens: of a batch and side, places that are filled up included; a longer pair has a batch
            of its own.
        start_id, end_id: before and behind what is written; the end mark stands behind what is read
            as well.
        context: longest text of either side, marks included.
        seed: of the order.

    Raises:
        DataError: there is no pair, or one that the context does not hold.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        tokens: int,
        start_id: int,
        end_id: int,
        context: int,
        seed: int,
    ) -> None:
        if not pairs:
            raise DataError("there are no pairs to learn from", remedy="give a file with some")
        self._pairs = [
            (np.asarray(read, dtype=np.int64), np.asarray(written, dtype=np.int64))
            for read, written in pairs
        ]
        self._start_id, self._end_id = start_id, end_id
        self._tokens, self._context, self._seed = tokens, context, seed
        lengths = [max(len(read), len(written)) + 1 for read, written in self._pairs]
        for number, length in enumerate(lengths):
            if length > context:
                raise DataError(
                    f"pair {number} is longer than the context of {context} tokens",
                    got=length,
                    remedy="leave it out, cut it, or choose a larger context",
                )
        self._groups = LengthGroups(lengths, tokens=tokens, seed=seed)

    @property
    def batches_per_epoch(self) -> int:
        return self._groups.num_batches

    def epochs(self, num_batches: int) -> float:
        return num_batches / self._groups.num_batches

    def batch(self, index: int) -> PairBatch:
        """Batch `index`, a function of (seed, index) alone."""
        return self._read(self._groups.items(index))

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "pairs",
            "pairs": len(self._pairs),
            "ids": sum(len(read) + len(written) for read, written in self._pairs),
            "tokens": self._tokens,
            "context": self._context,
            "seed": self._seed,
        }

    def _read(self, numbers: NDArray[np.int64]) -> PairBatch:
        pairs = [self._pairs[number] for number in numbers]
        return pair_batch(pairs, start_id=self._start_id, end_id=self._end_id)


def pair_batch(pairs: Sequence[Pair], *, start_id: int, end_id: int) -> PairBatch:
    """Pairs as one batch, in their order; arguments as of `PairBatches`."""
    B, S = len(pairs), max(len(read) for read, _ in pairs) + 1
    T = max(len(written) for _, written in pairs) + 1
    source_BS = np.zeros((B, S), dtype=np.int64)
    is_source_BS = np.zeros((B, S), dtype=bool)
    ids_BT = np.zeros((B, T), dtype=np.int64)
    targets_BT = np.full((B, T), IGNORED, dtype=np.int64)
    for row, (read, written) in enumerate(pairs):
        source_BS[row, : len(read)] = read
        source_BS[row, len(read)] = end_id
        is_source_BS[row, : len(read) + 1] = True
        ids_BT[row, 0] = start_id
        ids_BT[row, 1 : len(written) + 1] = written
        targets_BT[row, : len(written)] = written
        targets_BT[row, len(written)] = end_id
    num_tokens = sum(len(read) + len(written) + 2 for read, written in pairs)
    return PairBatch(
        torch.from_numpy(source_BS),
        torch.from_numpy(is_source_BS),
        torch.from_numpy(ids_BT),
        torch.from_numpy(targets_BT),
        num_tokens,
    )
