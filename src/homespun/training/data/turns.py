"""Several sources by turns: an epoch of each."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from homespun.training.data.pairs import PairBatch, PairBatches


class TurnBatches:
    """The first epoch of the first source, the first of the second, … and then the second of each.

    For the same pairs in several forms, each of which is read in its turn.

    Args:
        sources: one at least, of about as many batches an epoch each.
    """

    def __init__(self, sources: Sequence[PairBatches]) -> None:
        assert sources, "there is a source"
        self._sources = list(sources)
        self._ends = list(accumulate(source.batches_per_epoch for source in sources))

    @property
    def batches_per_epoch(self) -> int:
        """Of the sources' mean, rounded up."""
        return -(-self._ends[-1] // len(self._sources))

    def epochs(self, num_batches: int) -> float:
        turns, rest = divmod(num_batches, self._ends[-1])
        number = bisect.bisect_right(self._ends, rest)
        done = rest - (self._ends[number - 1] if number else 0)
        share = done / self._sources[number].batches_per_epoch
        return turns * len(self._sources) + number + share

    def batch(self, index: int) -> PairBatch:
        """Batch `index`, a function of it and the sources alone."""
        turn, place = divmod(index, self._ends[-1])
        number = bisect.bisect_right(self._ends, place)
        source = self._sources[number]
        start = self._ends[number] - source.batches_per_epoch
        return source.batch(turn * source.batches_per_epoch + place - start)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "turns",
            "sources": {str(at): one.describe() for at, one in enumerate(self._sources)},
        }
