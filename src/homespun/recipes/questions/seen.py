"""Whether a model was trained on the questions it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.classic.units import text_units

RUN = 8
"""Words (or Chinese characters) in a row: by chance two texts seldom share so many."""
SHARE = 0.5
"""Of a question's runs that must stand in the training text for it to count as seen."""


def run_hashes(text: str) -> NDArray[np.uint64]:
    """Hashes of every `RUN` neighbouring units; of a shorter text one of all of it."""
    units = text_units(text)
    if len(units) <= RUN:
        windows = [" ".join(units)] if units else []
    else:
        windows = [" ".join(units[at : at + RUN]) for at in range(len(units) - RUN + 1)]
    hashes = (xxhash.xxh3_64_intdigest(window.encode()) for window in windows)
    return np.fromiter(hashes, np.uint64, len(windows))


def seen_share(train_texts: Iterable[str], questions: Sequence[str]) -> float:
    """Share of questions of which half of all runs of eight words stand in the training text.

    Memory is that of the questions' runs alone: the training text streams by.
    """
    if not questions:
        return 0.0
    own = [run_hashes(question) for question in questions]
    wanted = np.unique(np.concatenate(own))
    is_there = np.zeros(len(wanted), dtype=bool)
    for text in train_texts:
        found = run_hashes(text)
        places = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
        is_there[places[wanted[places] == found]] = True
    seen = 0
    for hashes in own:
        if len(hashes):
            seen += bool(is_there[np.searchsorted(wanted, hashes)].mean() >= SHARE)
    return seen / len(questions)
