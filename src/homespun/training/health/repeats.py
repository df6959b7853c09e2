"""Text that a run reads twice, or that stands in its validation text too.

Runs of some dozen tokens are compared by a hash, and only those whose hash is divisible by `KEEP`:
which ones these are depends on the text alone, so the same text is found wherever rows cut it
(winnowing, Schleimer et al. 2003, in its simplest form).

Of a large text a share is looked at, so that of the held-out runs that stand in it only some are
found. How many there are in all is estimated by how often each was found, by a lower bound for
sampling without replacement (Chao and Lin 2012, "Nonparametric lower bounds for species richness
and shared species richness under sampling without replacement", Biometrics 68): a run found once
stands for as many as were missed, a phrase found again and again, such as a licence, for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.training.data import BatchSource, TokenArray

LONGEST, SHORTEST = 64, 16  # tokens of a run; shorter ones occur twice in any text
KEEP = 16  # a power of two
MAX_BATCHES = 1024  # about 4 million tokens, which take half a second
MAX_HELD_OUT = 500_000
SURE = 2.326  # deviations of a normal distribution that a hundredth lies beyond
_FACTOR = 0x9E3779B97F4A7C15  # odd, with its bits well mixed: 2^64 over the golden ratio
_MASK = (1 << 64) - 1


class Repeats(NamedTuple):
    """Attributes:
    repeated: share of the looked-at runs of tokens that occur more than once.
    leaked: share of the held-out runs that occur in the training text, estimated from those found
        in what was looked at; 0 without held-out text.
    leaked_surely: the same at the least, with 99% confidence.
    num_runs: of the training text, looked at.
    looked_at: share of the training text's runs that were.
    """

    repeated: float
    leaked: float
    leaked_surely: float
    num_runs: int
    looked_at: float


def find_repeats(
    source: BatchSource, held_out: TokenArray | None, *, max_batches: int = MAX_BATCHES
) -> Repeats | None:
    """Look at up to `max_batches` batches, evenly spaced over the first epoch: of a mixture, that
    of the text which is read most often.

    Of a text of more batches both copies of a passage are seldom among those looked at, so that
    `repeated` is at least what it says and may be more.

    Returns:
        None where the batches are not rows of running text, the rows are too short, or one batch
        holds all of the text.
    """
    # In a mixture a text may be read again before another is through, which is no copy of it.
    most: Callable[[int], float] = getattr(source, "most_epochs", source.epochs)
    if not 0 < (share := source.epochs(1)) <= most(1) <= 1:
        return None
    num_batches = _batches_of_an_epoch(most, int(1 / most(1)))
    places = np.unique(np.linspace(0, num_batches - 1, min(max_batches, num_batches)).astype(int))
    found, rows = [], []
    num_rows, num_seen, length, num_tokens = 0, 0, 0, 0.0
    for index in places:
        batch: Any = source.batch(int(index))
        is_text = hasattr(batch, "ids_BT") and hasattr(batch, "segments_BT")
        if not is_text or batch.segments_BT is not None:
            return None
        # Where rows grow on the way, runs that fit into the shortest are compared.
        here, context = batch.ids_BT.shape
        length = run_length(getattr(source, "shortest_context", context))
        if length < SHORTEST:
            return None
        num_tokens = num_tokens or here * context / share
        num_seen += here * (context - length + 1)
        hashes, is_kept = _mixed(batch.ids_BT.numpy(), length)
        found.append(hashes[is_kept])
        rows.append(np.nonzero(is_kept)[0] + num_rows)
        num_rows += here
    hashes = np.concatenate(found)
    if not len(hashes):
        return None
    looked_at = min(1.0, num_seen / num_tokens)
    leaked = surely = 0.0
    if held_out is not None:
        known = np.unique(kept_hashes(np.asarray(held_out[:MAX_HELD_OUT])[None], length))
        leaked, surely = leaked_share(hashes, np.concatenate(rows), known, looked_at)
    repeated = 1 - len(np.unique(hashes)) / len(hashes)
    return Repeats(repeated, leaked, surely, len(hashes), looked_at)


def leaked_share(
    hashes: NDArray[np.uint64],
    rows: NDArray[np.int64],
    known: NDArray[np.uint64],
    looked_at: float,
) -> tuple[float, float]:
    """The share of held-out runs that stand in all of the training text, and what it is at least.

    Runs of one row are found together or not at all, so how sure one can be follows from the number
    of rows, by a Poisson distribution's lower limit (Wilson and Hilferty 1931): of a small share of
    a large text one row says nothing, however many it would stand for.

    Args:
        hashes: of the runs that were looked at. rows: the number of each one's row.
        known: of the held-out runs, each once.
        looked_at: share of the training text's runs that were.
    """
    is_known = np.isin(hashes, known)
    if not is_known.any():
        return 0.0, 0.0
    _, times = np.unique(hashes[is_known], return_counts=True)
    once, twice = int((times == 1).sum()), int((times == 2).sum())
    unseen = 1.0 - looked_at
    missed = unseen * once**2 / (2 * twice * unseen + looked_at * once) if once else 0.0
    share = min(1.0, (len(times) + missed) / len(known))
    _, of_row = np.unique(rows[is_known], return_counts=True)
    num_rows = float(of_row.sum() ** 2 / np.square(of_row).sum())  # had all held as many
    spread = SURE * math.sqrt(unseen) / (3 * math.sqrt(num_rows))
    surely = share * max(0.0, 1.0 - unseen / (9 * num_rows) - spread) ** 3
    return share, max(surely, len(times) / len(known))


def _batches_of_an_epoch(epochs: Callable[[int], float], guess: int) -> int:
    """Of a guess by the first batch, no more than the first epoch has: later ones may be larger."""
    low, high = 1, guess + 1
    if epochs(guess) <= 1:
        return guess
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epochs(middle) <= 1 else (low, middle)
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
    hashes, is_kept = _mixed(ids_BT, length)
    return hashes[is_kept]


def _mixed(ids_BT: NDArray[Any], length: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """[B, T - length + 1] hashes of all runs, and which are kept."""
    if ids_BT.shape[1] < length:
        none = np.empty((len(ids_BT), 0), dtype=np.uint64)
        return none, none.astype(bool)
    hashes = ids_BT.astype(np.uint64) + np.uint64(1)
    half = 1
    while half < length:
        factor = np.uint64(pow(_FACTOR, half, 1 << 64))
        hashes = hashes[:, :-half] * factor + hashes[:, half:]
        half *= 2
    return _choose(hashes)


def kept_hashes_obvious(ids_BT: NDArray[Any], length: int) -> NDArray[np.uint64]:
    """The slow version: one run after another, in Python's own whole numbers."""
    hashes = []
    for row in ids_BT.tolist():
        for start in range(len(row) - length + 1):
            value = 0
            for token in row[start : start + length]:
                value = (value * _FACTOR + token + 1) & _MASK
            hashes.append(value)
    mixed, is_kept = _choose(np.array(hashes, dtype=np.uint64))
    return mixed[is_kept]


def _choose(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(_FACTOR)
    return mixed, (mixed >> np.uint64(40)) & np.uint64(KEEP - 1) == 0
