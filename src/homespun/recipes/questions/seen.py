"""Whether a model was trained on the questions it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.classic.units import text_units

RUN = 8
"""Words (or Chinese characters) in a row: by chance two texts seldom share so many."""
SHARE, SHORTEST = 0.5, 4
"""Of a question's runs that must stand in the training text for it to count as seen."""


def run_hashes(text: str, length: int = RUN) -> NDArray[np.uint64]:
    """Hashes of every `length` neighbouring units; none of a shorter text."""
    units = text_units(text)
    windows = (" ".join(units[at : at + length]) for at in range(len(units) - length + 1))
    hashes = [xxhash.xxh3_64_intdigest(window.encode()) for window in windows]
    return np.array(hashes, dtype=np.uint64)


def seen_share(train_texts: Iterable[str], questions: Sequence[str]) -> float | None:
    """Share of questions of which half of all runs of eight words stand in the training text; of
    questions of four to seven words, all of it. Shorter ones say nothing, and do not count. None
    where nothing can be looked up: all are shorter, or there is no text.

    Memory is that of the questions' runs alone: the training text streams by.
    """
    lengths = [min(RUN, len(text_units(question))) for question in questions]
    own = [
        (length, run_hashes(question, length))
        for length, question in zip(lengths, questions, strict=True)
        if length >= SHORTEST
    ]
    if not own:
        return None
    wanted = {
        length: np.unique(np.concatenate([hashes for other, hashes in own if other == length]))
        for length in {length for length, _ in own}
    }
    is_there = {length: np.zeros(len(hashes), dtype=bool) for length, hashes in wanted.items()}
    num_texts = 0
    for text in train_texts:
        num_texts += 1
        for length, hashes in wanted.items():
            found = run_hashes(text, length)
            places = np.minimum(np.searchsorted(hashes, found), len(hashes) - 1)
            is_there[length][places[hashes[places] == found]] = True
    if not num_texts:
        return None
    seen = 0
    for length, hashes in own:
        seen += bool(is_there[length][np.searchsorted(wanted[length], hashes)].mean() >= SHARE)
    return seen / len(own)
