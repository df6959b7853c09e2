"""Text that a run reads twice, or that stands in its validation text too.

Runs of some dozen tokens are compared by a hash, and only those whose hash is divisible by `KEEP`:
which ones these are depends on the text alone, so the same text is found wherever rows cut it
(winnowing, Schleimer et al. 2003, in its simplest form).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.training.data import BatchSource, TokenArray

LONGEST, SHORTEST = 64, 16  # tokens of a run; shorter ones occur twice in any text
KEEP = 16
MAX_BATCHES = 1024  # about 4 million tokens, which take a quarter of a second
MAX_HELD_OUT = 500_000
_FACTOR = 0x9E3779B97F4A7C15  # odd, with its bits well mixed: 2^64 over the golden ratio
_MASK = (1 << 64) - 1


class Repeats(NamedTuple):
    """Attributes:
    repeated: share of the looked-at runs of tokens that occur more than once.
    leaked: share of them that occur in the validation text; 0 without one.
    num_runs: looked at.
    """

    repeated: float
    leaked: float
    num_runs: int


def find_repeats(
    source: BatchSource, held_out: TokenArray | None, *, max_batches: int = MAX_BATCHES
) -> Repeats | None:
    """Look at up to `max_batches` batches, evenly spaced over the first epoch.

    Of a text of more batches both copies of a passage are seldom among those looked at, so that
    `repeated` is at least what it says and may be more; `leaked` is true on average for any text.

    Returns:
        None where the batches are not rows of running text, the rows are too short, or one batch
        holds all of the text.
    """
    if not 0 < (share := source.epochs(1)) <= 1:
        return None
    num_batches = _batches_of_an_epoch(source, int(1 / share))
    places = np.unique(np.linspace(0, num_batches - 1, min(max_batches, num_batches)).astype(int))
    found, length = [], 0
    for index in places:
        batch: Any = source.batch(int(index))
        is_text = hasattr(batch, "ids_BT") and hasattr(batch, "segments_BT")
        if not is_text or batch.segments_BT is not None:
            return None
        # Where rows grow on the way, runs that fit into the shortest are compared.
        length = run_length(getattr(source, "shortest_context", batch.ids_BT.shape[1]))
        if length < SHORTEST:
            return None
        found.append(kept_hashes(batch.ids_BT.numpy(), length))
    hashes = np.concatenate(found)
    if not len(hashes):
        return None
    leaked = 0.0
    if held_out is not None:
        known = kept_hashes(np.asarray(held_out[:MAX_HELD_OUT])[None], length)
        leaked = float(np.isin(hashes, known).mean())
    return Repeats(1 - len(np.unique(hashes)) / len(hashes), leaked, len(hashes))


def _batches_of_an_epoch(source: BatchSource, guess: int) -> int:
    """Of a guess by the first batch, no more than the first epoch has: later ones may be larger."""
    low, high = 1, guess + 1
    if source.epochs(guess) <= 1:
        return guess
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if source.epochs(middle) <= 1 else (low, middle)
    return low


def run_length(context: int) -> int:
    """Tokens of the runs that are compared: a power of two, at most a quarter of a row."""
    length = LONGEST
    while length > max(1, context // 4):
        length //= 2
    return length


def kept_hashes(ids_BT: NDArray[Any], length: int) -> NDArray[np.uint64]:
    """Hashes of the kept runs of `length` tokens inside each row, in no order that matters.

    Args:
        ids_BT: rows of ids.
        length: a power of two: the hash of a run is put together from those of its halves.
    """
    if ids_BT.shape[1] < length:
        return np.empty(0, dtype=np.uint64)
    hashes = ids_BT.astype(np.uint64) + np.uint64(1)
    half = 1
    while half < length:
        factor = np.uint64(pow(_FACTOR, half, 1 << 64))
        hashes = hashes[:, :-half] * factor + hashes[:, half:]
        half *= 2
    return _kept(hashes)


def kept_hashes_obvious(ids_BT: NDArray[Any], length: int) -> NDArray[np.uint64]:
    """The slow version: one run after another, in Python's own whole numbers."""
    hashes = []
    for row in ids_BT.tolist():
        for start in range(len(row) - length + 1):
            value = 0
            for token in row[start : start + length]:
                value = (value * _FACTOR + token + 1) & _MASK
            hashes.append(value)
    return _kept(np.array(hashes, dtype=np.uint64))


def _kept(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(_FACTOR)
    kept: NDArray[np.uint64] = mixed[(mixed >> np.uint64(40)) % np.uint64(KEEP) == 0]
    return kept
