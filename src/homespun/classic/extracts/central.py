"""Extracts that nothing is learned for.

Shape letters: S sentences, W words, L numbers of words that a sentence has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from homespun.classic.extracts.sentences import sentences_of
from homespun.classic.units import text_units
from homespun.core import ConfigError

sparse: Any = scipy.sparse  # it has no types
Floats = NDArray[np.float64]
MOST_COMPARED = 2000
"""Sentences of which each is compared with each: their table of votes takes 32 MB. Of more, ranks
are taken from the sums of votes alone."""
_DAMPING = 0.85
_AT_ONCE = 256
"""Sentences whose shared words are counted together."""
_FULL_WIDTH_END = re.compile(r"[。！？；][”’」』）]*$")


def lead(text: str, num: int = 1) -> str:
    """The first sentences: hard to beat on news. Raises ConfigError where `num` is below 1."""
    _check(num)
    return _joined(sentences_of(text)[:num])


def text_rank(text: str, num: int = 1) -> str:
    """The most central sentences, in the order of the text (Mihalcea and Tarau 2004).

    Sentences that share words vote for one another, each as much as it is voted for: similarity is
    the number of shared words over the sum of the logarithms of both lengths (their equation in
    section 4), ranks are those of PageRank with a damping of 0.85. Of more than `MOST_COMPARED`
    sentences it is the sums of votes, see `centrality`.

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


def centrality(sentences: Sequence[str]) -> Floats:
    """TextRank's rank of each sentence, shape (S,); together they are 1.

    Of more than `MOST_COMPARED` sentences a rank is the sentence's share of all votes, damped as
    theirs: what PageRank comes to where nothing is damped, as votes go both ways. Time and memory
    of that grow with the text, and not with its square.
    """
    words_SW, lengths_S = _word_sets(sentences)
    if len(sentences) > MOST_COMPARED:
        total_S = _sums_of_votes(words_SW, lengths_S)
        share_S: Floats = total_S / max(float(total_S.sum()), 1e-12)
        ranks_S = (1 - _DAMPING) / len(sentences) + _DAMPING * share_S
        return np.asarray(ranks_S / ranks_S.sum(), np.float64)
    return _page_rank(_votes(words_SW, lengths_S))


def centrality_obvious(sentences: Sequence[str]) -> Floats:
    """`centrality` of any number of sentences, pair by pair as the equation reads. Slow."""
    return _page_rank(votes_obvious(sentences))


def votes_obvious(sentences: Sequence[str]) -> Floats:
    """How alike each two sentences are, (S, S), set by set; none is compared with itself. Slow."""
    words = [set(text_units(sentence)) for sentence in sentences]
    votes_SS = np.zeros((len(words), len(words)))
    for a in range(len(words)):
        for b in range(a):
            length = math.log(max(2, len(words[a]))) + math.log(max(2, len(words[b])))
            votes_SS[a, b] = votes_SS[b, a] = len(words[a] & words[b]) / length
    return votes_SS


def _word_sets(sentences: Sequence[str]) -> tuple[Any, NDArray[np.int64]]:
    """(S, W) with 1 where a word stands in a sentence, and (S,) how many different ones do."""
    ids: dict[str, int] = {}
    found: list[int] = []
    starts = [0]
    for sentence in sentences:
        found += {ids.setdefault(unit, len(ids)) for unit in text_units(sentence)}
        starts.append(len(found))
    parts = np.ones(len(found)), np.array(found, np.int64), np.array(starts, np.int64)
    words_SW = sparse.csr_matrix(parts, shape=(len(sentences), max(1, len(ids))))
    return words_SW, np.diff(parts[2])


def _logs(lengths: NDArray[np.int64]) -> Floats:
    """Of each length: a sentence of one word counts as one of two."""
    return np.array([math.log(max(2, length)) for length in lengths.tolist()])


def _votes(words_SW: Any, lengths_S: NDArray[np.int64]) -> Floats:
    """`votes_obvious`, by products of sparse rows."""
    log_S, size = _logs(lengths_S), len(lengths_S)
    votes_SS = np.empty((size, size))
    for start in range(0, size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        shared = (words_SW[part] @ words_SW.T).toarray()
        np.divide(shared, log_S[part, None] + log_S[None], out=votes_SS[part])
    np.fill_diagonal(votes_SS, 0.0)
    return votes_SS


def _sums_of_votes(words_SW: Any, lengths_S: NDArray[np.int64]) -> Floats:
    """The sums of the rows of `_votes`, (S,), without the table: what divides a number of shared
    words hangs on lengths alone, so sentences of one length are counted as one."""
    different_L, number_S = np.unique(np.maximum(2, lengths_S), return_inverse=True)
    log_L, log_S, size = _logs(different_L), _logs(lengths_S), len(lengths_S)
    ones = np.ones(size), (number_S.ravel(), np.arange(size))
    counts_WL = (sparse.csr_matrix(ones, shape=(len(different_L), size)) @ words_SW).T.tocsr()
    total_S = np.empty(size)
    for start in range(0, size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        shared = (words_SW[part] @ counts_WL).toarray()
        total_S[part] = (shared / (log_S[part, None] + log_L[None])).sum(axis=1)
    return np.maximum(0.0, total_S - lengths_S / (2 * log_S))  # none votes for itself


def _page_rank(votes_SS: Floats) -> Floats:
    """Ranks by votes, which are no more after it: their place is used."""
    size = len(votes_SS)
    total_S = votes_SS.sum(axis=1)
    votes_SS /= np.maximum(total_S[:, None], 1e-12)
    votes_SS[total_S <= 0] = 1 / size  # a sentence that shares nothing votes for all alike
    votes_SS *= _DAMPING
    ranks_S = np.full(size, 1 / size)
    for _ in range(100):
        next_S: Floats = (1 - _DAMPING) / size + votes_SS.T @ ranks_S
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
