"""Extracts that nothing is learned for.

Shape letters: S sentences.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from homespun.classic.extracts.sentences import sentences_of
from homespun.classic.units import text_units
from homespun.core import ConfigError

_DAMPING = 0.85
_FULL_WIDTH_END = re.compile(r"[。！？；][”’」』）]*$")


def lead(text: str, num: int = 1) -> str:
    """The first sentences: hard to beat on news. Raises ConfigError where `num` is below 1."""
    _check(num)
    return _joined(sentences_of(text)[:num])


def text_rank(text: str, num: int = 1) -> str:
    """The most central sentences, in the order of the text (Mihalcea and Tarau 2004).

    Sentences that share words vote for one another, each as much as it is voted for: similarity is
    the number of shared words over the sum of the logarithms of both lengths (their equation in
    section 4), ranks are those of PageRank with a damping of 0.85.

    Raises:
        ConfigError: `num` is below 1.
    """
    _check(num)
    sentences = sentences_of(text)
    if len(sentences) <= num:
        return _joined(sentences)
    ranks_S = centrality(sentences)
    order = sorted(range(len(sentences)), key=lambda at: (-ranks_S[at], at))[:num]
    return _joined([sentences[at] for at in sorted(order)])


def centrality(sentences: list[str]) -> NDArray[np.float64]:
    """TextRank's rank of each sentence; together they are 1."""
    words = [set(text_units(sentence)) for sentence in sentences]
    size = len(sentences)
    votes_SS = np.zeros((size, size))
    for a in range(size):
        for b in range(a):
            length = math.log(max(2, len(words[a]))) + math.log(max(2, len(words[b])))
            votes_SS[a, b] = votes_SS[b, a] = len(words[a] & words[b]) / length
    total_S = votes_SS.sum(axis=1)
    # A sentence that shares nothing votes for all alike.
    shares_SS = np.where(
        total_S[:, None] > 0, votes_SS / np.maximum(total_S[:, None], 1e-12), 1 / size
    )
    ranks_S = np.full(size, 1 / size)
    for _ in range(100):
        next_S: NDArray[np.float64] = (1 - _DAMPING) / size + _DAMPING * shares_SS.T @ ranks_S
        if np.abs(next_S - ranks_S).sum() < 1e-9:
            return next_S
        ranks_S = next_S
    return ranks_S


def _joined(sentences: list[str]) -> str:
    """One after another, with the space between that Chinese has not."""
    told = ""
    for sentence in sentences:
        is_apart = bool(told) and not _FULL_WIDTH_END.search(told)
        told += " " * is_apart + sentence
    return told


def _check(num: int) -> None:
    if num < 1:
        raise ConfigError("an extract has one sentence at least", got=num, remedy="take 1")
