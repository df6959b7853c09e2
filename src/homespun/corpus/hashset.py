"""A set of 64-bit hashes in one array: 13 to 27 bytes an entry, where a Python set takes 100.

The table is open-addressing with linear probing, and half as large again for a moment while it
grows. Two different texts get the same hash with a chance of n²/2⁶⁵: for a thousand million
paragraphs 3 % that even one is taken for another by mistake.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class HashSet64:
    """A set of 64-bit integers in one array; 0 is stored apart, as empty slots hold it.

    Args:
        capacity: entries to make room for at first; the table doubles whenever 60 % are used.
    """

    MAX_LOAD = 0.6

    def __init__(self, capacity: int = 1024) -> None:
        slots = 1 << max(4, int(capacity / self.MAX_LOAD).bit_length())
        self._table: NDArray[np.uint64] = np.zeros(slots, np.uint64)
        self._view = self._table.data
        self._mask = slots - 1
        self._has_zero = False
        self._used = 0

    def __len__(self) -> int:
        return self._used + self._has_zero

    def __contains__(self, key: int) -> bool:
        if key == 0:
            return self._has_zero
        return self._view[self._slot(key)] == key

    def add(self, key: int) -> bool:
        """Add `key`; whether it is new."""
        if key == 0:
            new, self._has_zero = not self._has_zero, True
            return new
        slot = self._slot(key)
        if self._view[slot] == key:
            return False
        self._view[slot] = key
        self._used += 1
        if self._used > self.MAX_LOAD * (self._mask + 1):
            self._grow()
        return True

    def contains_many(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each of `keys` is in the set."""
        found: NDArray[np.bool_] = (keys == 0) & self._has_zero
        places = np.flatnonzero(keys != 0)
        wanted = keys[places]
        slots = (wanted & np.uint64(self._mask)).astype(np.int64)
        while len(places):
            there = self._table[slots]
            found[places[there == wanted]] = True
            left = (there != wanted) & (there != 0)
            places, wanted, slots = places[left], wanted[left], (slots[left] + 1) & self._mask
        return found

    def add_many(self, keys: NDArray[np.uint64]) -> None:
        """Add all of `keys`, which may be there already or come twice."""
        self._has_zero |= bool((keys == 0).any())
        new = np.unique(keys[keys != 0])
        self.add_new(new[~self.contains_many(new)])

    def add_new(self, keys: NDArray[np.uint64]) -> None:
        """Add `keys`, which are distinct, not zero, and not in the set."""
        while self._used + len(keys) > self.MAX_LOAD * (self._mask + 1):
            self._grow()
        self._place(keys)
        self._used += len(keys)

    def keys(self) -> NDArray[np.uint64]:
        """All members, in no order."""
        found = self._table[self._table != 0]
        return np.append(found, np.uint64(0)) if self._has_zero else found

    def num_bytes(self) -> int:
        return self._table.nbytes

    def _slot(self, key: int) -> int:
        """Where `key` is, or the empty slot where it belongs. Keys are hashes: no mixing needed."""
        view, mask = self._view, self._mask
        slot = key & mask
        while (found := view[slot]) and found != key:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        keys = self._table[self._table != 0]
        self._mask = 2 * (self._mask + 1) - 1
        self._table = np.zeros(self._mask + 1, np.uint64)
        self._view = self._table.data
        self._place(keys)

    def _place(self, keys: NDArray[np.uint64]) -> None:
        """Put in new keys: all try their slot, one at each free slot stays, others move on."""
        table = self._table
        slots = (keys & np.uint64(self._mask)).astype(np.int64)
        while len(keys):
            free = table[slots] == 0
            table[slots[free]] = keys[free]
            left = table[slots] != keys
            keys, slots = keys[left], (slots[left] + 1) & self._mask
