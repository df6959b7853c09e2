"""Items of like lengths in one batch, so that few places are filled up."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homespun.core import derive_seed

LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""An item belongs to the first that it fits: rows are filled up by a third at most."""


class LengthGroups:
    """Which items a batch holds: about `tokens` tokens, of like lengths, each item once an epoch.

    Which items share a batch and the order of batches are drawn anew for each epoch, from the seed
    and the epoch alone.

    Args:
        lengths: of each item, in tokens; there is one at least.
        tokens: of a batch, places that are filled up included; a longer item has a batch of its
            own.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], *, tokens: int, seed: int) -> None:
        self._seed = seed
        self._groups: dict[int, list[int]] = {}
        for number, length in enumerate(lengths):
            place = bisect.bisect_left(LENGTHS, length)
            group = LENGTHS[place] if place < len(LENGTHS) else length
            self._groups.setdefault(group, []).append(number)
        self._rows = {group: max(1, tokens // group) for group in self._groups}
        self.num_batches = sum(
            -(-len(members) // self._rows[group]) for group, members in self._groups.items()
        )
        self._order: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    def items(self, index: int) -> NDArray[np.int64]:
        """The numbers of the items of batch `index`, a function of (seed, index) alone."""
        epoch, place = divmod(index, self.num_batches)
        return self._epoch(epoch)[place]

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The items of each batch of an epoch."""
        if self._order[0] != epoch:
            draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "order", epoch)))
            batches: list[NDArray[np.int64]] = []
            for group in sorted(self._groups):
                members = draw.permutation(np.array(self._groups[group]))
                rows = self._rows[group]
                batches += [members[at : at + rows] for at in range(0, len(members), rows)]
            order = draw.permutation(len(batches))
            self._order = epoch, [batches[place] for place in order]
        return self._order[1]
