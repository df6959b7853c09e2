"""Sequences as sparse features, and what a linear-chain CRF says of them, in numpy.

Letters: N positions of all sequences, T tags, F features, P pairs of feature and tag that have a
weight. `weights` is one vector: P pairs, then T * T transitions (from, to), T at the begin of a
sequence and T at its end. This is the slow version, in logarithms; `native` has the compiled one.

Source: Lafferty, McCallum & Pereira 2001; Sutton & McCallum 2012, section 4.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
csr_array: Any = sparse.csr_array  # scipy has no types
_CHUNK = 1 << 22  # cells of a dense block of features by tags


class Sequences(NamedTuple):
    """Positions of sequences and the features that are on at each.

    Attributes:
        sequence_start: (sequences + 1,), first position of each, and N.
        position_start: (N + 1,), first entry of each position in `features`.
        features: ids of features, each counted once for each time it stands there.
    """

    sequence_start: Longs
    position_start: Longs
    features: Ints


class Pairs(NamedTuple):
    """Which feature has a weight for which tag.

    Attributes:
        start: (F + 1,), first pair of each feature.
        tag: (P,), tags of the pairs, rising within a feature.
        num_tags: T.
    """

    start: Longs
    tag: Ints
    num_tags: int

    @property
    def num_weights(self) -> int:
        """Length of the vector of weights."""
        return len(self.tag) + self.num_tags**2 + 2 * self.num_tags


class Lattice(Protocol):
    """What a CRF asks of its inner loops."""

    def objective(self, weights: Floats, gold_N: Ints) -> tuple[float, Floats]:
        """Negative log-likelihood of the tags `gold_N`, and its gradient."""

    def paths(self, weights: Floats) -> Ints:
        """The best tags, shape (N,); of equals, those with the lower number."""

    def marginals(self, weights: Floats) -> Floats:
        """Probability of each tag at each position, shape (N, T)."""


class NumpyLattice:
    """The inner loops in numpy."""

    def __init__(self, sequences: Sequences, pairs: Pairs) -> None:
        self._sequences, self._pairs = sequences, pairs
        ones = np.ones(len(sequences.features))
        shape = (len(sequences.position_start) - 1, len(pairs.start) - 1)
        self._x_NF = csr_array((ones, sequences.features, sequences.position_start), shape=shape)

    def objective(self, weights: Floats, gold_N: Ints) -> tuple[float, Floats]:
        """See `Lattice`."""
        num_tags, num_pairs = self._pairs.num_tags, len(self._pairs.tag)
        scores_NT = self._scores(weights)
        trans_TT, begin_T, end_T = self._chain(weights)
        left_NT, gradient = np.zeros_like(scores_NT), np.zeros_like(weights)
        g_trans_TT, g_begin_T, g_end_T = self._chain(gradient)
        loss = 0.0
        for start, stop in self._spans():
            gold_L, e_LT = gold_N[start:stop], scores_NT[start:stop]
            forward_LT, backward_LT, log_z = _forward_backward(e_LT, trans_TT, begin_T, end_T)
            p_LT = np.exp(forward_LT + backward_LT - log_z)
            score = e_LT[np.arange(stop - start), gold_L].sum() + begin_T[gold_L[0]]
            score += end_T[gold_L[-1]] + trans_TT[gold_L[:-1], gold_L[1:]].sum()
            loss += log_z - score
            for t in range(1, stop - start):
                after_T = e_LT[t] + backward_LT[t]
                g_trans_TT += np.exp(forward_LT[t - 1][:, None] + trans_TT + after_T - log_z)
            np.subtract.at(g_trans_TT, (gold_L[:-1], gold_L[1:]), 1.0)
            p_LT[np.arange(stop - start), gold_L] -= 1.0
            g_begin_T += p_LT[0]
            g_end_T += p_LT[-1]
            left_NT[start:stop] = p_LT
        x_FN = self._x_NF.T.tocsr()
        step = max(1, _CHUNK // num_tags)
        owner_P = np.repeat(np.arange(x_FN.shape[0]), np.diff(self._pairs.start))
        for low in range(0, x_FN.shape[0], step):
            block_FT = x_FN[low : low + step] @ left_NT
            first, last = self._pairs.start[low], self._pairs.start[low + block_FT.shape[0]]
            inside = slice(int(first), int(last))
            gradient[:num_pairs][inside] = block_FT[owner_P[inside] - low, self._pairs.tag[inside]]
        return float(loss), gradient

    def paths(self, weights: Floats) -> Ints:
        """See `Lattice`."""
        scores_NT = self._scores(weights)
        trans_TT, begin_T, end_T = self._chain(weights)
        paths_N = np.zeros(len(scores_NT), np.int32)
        for start, stop in self._spans():
            best_T = scores_NT[start] + begin_T
            origins = []
            for t in range(start + 1, stop):
                found_TT = best_T[:, None] + trans_TT
                origins.append(found_TT.argmax(axis=0))
                best_T = found_TT.max(axis=0) + scores_NT[t]
            paths_N[stop - 1] = (best_T + end_T).argmax()
            for t in range(stop - 2, start - 1, -1):
                paths_N[t] = origins[t - start][paths_N[t + 1]]
        return paths_N

    def marginals(self, weights: Floats) -> Floats:
        """See `Lattice`."""
        scores_NT = self._scores(weights)
        p_NT = np.zeros_like(scores_NT)
        for start, stop in self._spans():
            parts = _forward_backward(scores_NT[start:stop], *self._chain(weights))
            p_NT[start:stop] = np.exp(parts[0] + parts[1] - parts[2])
        return p_NT

    def _spans(self) -> list[tuple[int, int]]:
        starts = self._sequences.sequence_start.tolist()
        return [(a, b) for a, b in itertools.pairwise(starts) if b > a]

    def _scores(self, weights: Floats) -> Floats:
        num_pairs = len(self._pairs.tag)
        shape = (len(self._pairs.start) - 1, self._pairs.num_tags)
        w_FT = csr_array((weights[:num_pairs], self._pairs.tag, self._pairs.start), shape=shape)
        scores_NT: Floats = (self._x_NF @ w_FT).toarray()
        return scores_NT

    def _chain(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        num_tags, num_pairs = self._pairs.num_tags, len(self._pairs.tag)
        chain = weights[num_pairs:]
        square = num_tags**2
        trans_TT = chain[:square].reshape(num_tags, num_tags)
        return trans_TT, chain[square : square + num_tags], chain[square + num_tags :]


def _forward_backward(
    e_LT: Floats, trans_TT: Floats, begin_T: Floats, end_T: Floats
) -> tuple[Floats, Floats, float]:
    """Logarithms of the sums over all paths to each tag, and from it on; and of all paths."""
    forward_LT, backward_LT = np.zeros_like(e_LT), np.zeros_like(e_LT)
    forward_LT[0] = e_LT[0] + begin_T
    for t in range(1, len(e_LT)):
        forward_LT[t] = logsumexp(forward_LT[t - 1][:, None] + trans_TT, axis=0) + e_LT[t]
    backward_LT[-1] = end_T
    for t in range(len(e_LT) - 2, -1, -1):
        backward_LT[t] = logsumexp(trans_TT + e_LT[t + 1] + backward_LT[t + 1], axis=1)
    return forward_LT, backward_LT, float(logsumexp(forward_LT[-1] + end_T))
