"""Which words stand near which: sums of 1/distance over windows, without a V x V table.

Shape letters: N tokens, K pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors.vocabulary import EncodedText
from homespun.core import ConfigError


class Cooccurrences(NamedTuple):
    """The nonzero counts; both (i, j) and (j, i) are there, with one value.

    Attributes:
        words_K, contexts_K: int32, in order of word, then context.
        values_K: float32.
    """

    words_K: NDArray[np.int32]
    contexts_K: NDArray[np.int32]
    values_K: NDArray[np.float32]


class _Run(NamedTuple):
    """Pairs in rising order, each once."""

    keys_K: NDArray[np.int64]
    sums_K: NDArray[np.float64]


def count_cooccurrences(
    text: EncodedText, window: int = 10, *, chunk_pairs: int = 8_000_000
) -> Cooccurrences:
    """Each pair of words at most `window` apart in a sentence adds 1/distance, to both sides.

    Pairs are counted a chunk at a time and sorted; sorted chunks are merged, those of like size
    first. Memory is that of the different pairs and of about one chunk, 32 bytes a pair.

    Raises:
        ConfigError: window or chunk_pairs is below 1.

    Source: Pennington, Socher & Manning 2014, section 4.2.
    """
    if window < 1 or chunk_pairs < 1:
        raise ConfigError(
            "window or chunk_pairs is below 1", got=(window, chunk_pairs), remedy="give 1 or more"
        )
    num_words = len(text.vocabulary)
    sentence_N = np.repeat(
        np.arange(len(text.starts_S) - 1, dtype=np.int64), np.diff(text.starts_S)
    )
    runs: list[_Run] = []
    step = max(chunk_pairs // window, 1)
    for start in range(0, len(text.tokens_N), step):
        runs.append(
            _count_chunk(text.tokens_N, sentence_N, (start, start + step), window, num_words)
        )
        while len(runs) > 1 and len(runs[-2].keys_K) <= 2 * len(runs[-1].keys_K):
            runs[-2:] = [_merged(runs[-2], runs[-1])]
    while len(runs) > 1:
        runs[-2:] = [_merged(runs[-2], runs[-1])]
    nothing = _Run(np.zeros(0, np.int64), np.zeros(0, np.float64))
    return _both_sides(runs[0] if runs else nothing, num_words)


def count_cooccurrences_reference(text: EncodedText, window: int) -> dict[tuple[int, int], float]:
    """The same in a dictionary."""
    counts: dict[tuple[int, int], float] = {}
    for first, last in zip(text.starts_S[:-1], text.starts_S[1:], strict=True):
        sentence = text.tokens_N[first:last].tolist()
        for at, word in enumerate(sentence):
            for before in range(max(at - window, 0), at):
                other = sentence[before]
                for pair in ((word, other), (other, word)):
                    counts[pair] = counts.get(pair, 0.0) + 1 / (at - before)
    return counts


def _count_chunk(
    tokens_N: NDArray[np.int32],
    sentence_N: NDArray[np.int64],
    span: tuple[int, int],
    window: int,
    num_words: int,
) -> _Run:
    """Pairs whose first word lies in `span`. The lower word number comes first in a key."""
    start, end = span
    parts = []
    for distance in range(1, window + 1):
        stop = min(end, len(tokens_N) - distance)
        if stop <= start:
            break
        a, b = slice(start, stop), slice(start + distance, stop + distance)
        together = sentence_N[a] == sentence_N[b]
        left = tokens_N[a][together].astype(np.int64)
        right = tokens_N[b][together].astype(np.int64)
        pair = np.minimum(left, right) * num_words + np.maximum(left, right)
        # The distance rides along in the key: plain numbers sort several times faster.
        parts.append(pair * window + (distance - 1))
    keys = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    keys.sort()
    return _summed(keys // window, 1 / (keys % window + 1))


def _merged(first: _Run, second: _Run) -> _Run:
    keys = np.concatenate((first.keys_K, second.keys_K))
    order = np.argsort(keys, kind="stable")  # finds the two sorted halves and merges them
    return _summed(keys[order], np.concatenate((first.sums_K, second.sums_K))[order])


def _summed(keys: NDArray[np.int64], values: NDArray[np.float64]) -> _Run:
    if not len(keys):
        return _Run(keys, values)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1))
    return _Run(keys[begins], np.add.reduceat(values, begins))


def _both_sides(run: _Run, num_words: int) -> Cooccurrences:
    low, high = np.divmod(run.keys_K, num_words)
    same = low == high
    # A word beside itself counts from both sides, as any pair does.
    values = np.where(same, 2 * run.sums_K, run.sums_K).astype(np.float32)
    words = np.concatenate((low, high[~same])).astype(np.int32)
    contexts = np.concatenate((high, low[~same])).astype(np.int32)
    order = np.lexsort((contexts, words))
    return Cooccurrences(
        words[order], contexts[order], np.concatenate((values, values[~same]))[order]
    )
