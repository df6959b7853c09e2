"""Which documents are held out."""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.core.types import SPLITS

TRAIN, VALIDATION, TEST = range(len(SPLITS))


def split_key(doc_id: str, seed: int) -> int:
    """A 64-bit number that depends on the document's name and the seed alone."""
    return xxhash.xxh3_64_intdigest(doc_id.encode("utf-8", "replace"), seed=seed & (2**64 - 1))


def target_bytes(total: int, share: float, *, smallest: int, largest: int) -> int:
    """Bytes to hold out: a share of the total within bounds, but never over twice the share."""
    return min(max(int(total * share), smallest), largest, int(total * 2 * share))


def assign_splits(
    keys: NDArray[np.uint64], sizes: NDArray[np.int64], *, validation: int, test: int
) -> NDArray[np.uint8]:
    """A split for every document: those with the smallest keys are held out.

    As keys depend on names alone, a document that is added or taken away changes the place of few
    others. A document that would overshoot its split by half is passed over, unless the split would
    stay empty without it. From three documents on, every split has at least one.

    Args:
        keys: (n,), `split_key` of each document.
        sizes: (n,), its bytes.
        validation, test: bytes to hold out in each.

    Returns:
        (n,), an index into `SPLITS` each.
    """
    num_docs = len(keys)
    splits: NDArray[np.uint8] = np.zeros(num_docs, np.uint8)
    if num_docs < 2:
        return splits
    order = np.argsort(keys, kind="stable")
    for split, target in ((VALIDATION, validation), (TEST, test)):
        if split == TEST and num_docs < 3:
            break
        # What must be left for training, and for the test split while that has none.
        at_least = 2 if split == VALIDATION and num_docs > 2 else 1
        num_free = int((splits == TRAIN).sum())
        taken = 0
        for index in order:
            if taken >= target or num_free <= at_least:
                break
            size = int(sizes[index])
            if splits[index] == TRAIN and taken + size <= 1.5 * target:
                splits[index] = split
                taken += size
                num_free -= 1
        if not taken:
            free = np.flatnonzero(splits == TRAIN)
            splits[free[np.argmin(sizes[free])]] = split
    return splits
