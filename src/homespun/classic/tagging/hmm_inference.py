"""Paths, posteriors and re-estimation of hidden Markov models, in numpy.

Letters: L positions of a sequence, T states (tags), V symbols (words). All parameters are
logarithms: begin_T, trans_TT (from, to), end_T, and e_LT, the emission of each position.

Source: Rabiner 1989, sections III and V.A (scaling; here sums are scaled position by position).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Chain(NamedTuple):
    """Log-probabilities of states: to begin with, to follow one another, to end with."""

    begin_T: Floats
    trans_TT: Floats
    end_T: Floats


class Posterior(NamedTuple):
    """What is known of the states of a sequence.

    Attributes:
        log_likelihood: of the whole sequence, its end included.
        p_LT: probability of each state at each position.
        pairs_TT: expected number of each transition.
    """

    log_likelihood: float
    p_LT: Floats
    pairs_TT: Floats


def viterbi(chain: Chain, e_LT: Floats) -> tuple[NDArray[np.int64], float]:
    """The best states, of equals those with the lower number, and their log-probability."""
    length, num_states = e_LT.shape
    if length == 0:
        return np.zeros(0, np.int64), 0.0
    origin_LT = np.zeros((length, num_states), np.int64)
    best_T = chain.begin_T + e_LT[0]
    for t in range(1, length):
        found_TT = best_T[:, None] + chain.trans_TT
        origin_LT[t] = found_TT.argmax(axis=0)
        best_T = found_TT[origin_LT[t], np.arange(num_states)] + e_LT[t]
    best_T = best_T + chain.end_T
    path_L = np.zeros(length, np.int64)
    path_L[-1] = best_T.argmax()
    for t in range(length - 1, 0, -1):
        path_L[t - 1] = origin_LT[t, path_L[t]]
    return path_L, float(best_T.max())


def forward_backward(chain: Chain, e_LT: Floats) -> Posterior:
    """Likelihood and posteriors of a sequence of one position or more."""
    length, num_states = e_LT.shape
    if length == 0:
        return Posterior(0.0, np.zeros((0, num_states)), np.zeros((num_states, num_states)))
    trans_TT, end_T = np.exp(chain.trans_TT), np.exp(chain.end_T)
    most_L = e_LT.max(axis=1)
    psi_LT = np.exp(e_LT - most_L[:, None])
    forward_LT, sums_L = np.zeros_like(e_LT), np.zeros(length)
    row_T = np.exp(chain.begin_T) * psi_LT[0]
    for t in range(length):
        if t:
            row_T = (forward_LT[t - 1] @ trans_TT) * psi_LT[t]
        sums_L[t] = row_T.sum()
        forward_LT[t] = row_T / sums_L[t]
    last = float(forward_LT[-1] @ end_T)
    backward_LT = np.zeros_like(e_LT)
    backward_LT[-1] = end_T / last
    pairs_TT = np.zeros_like(trans_TT)
    for t in range(length - 1, 0, -1):
        after_T = psi_LT[t] * backward_LT[t] / sums_L[t]
        pairs_TT += np.outer(forward_LT[t - 1], after_T)
        backward_LT[t - 1] = trans_TT @ after_T
    total = float(most_L.sum() + np.log(sums_L).sum() + np.log(last))
    return Posterior(total, forward_LT * backward_LT, pairs_TT * trans_TT)


def sequence_log_likelihood(chain: Chain, e_LT: Floats) -> float:
    """The forward pass alone: log-probability of a sequence summed over all paths."""
    if len(e_LT) == 0:
        return 0.0
    trans_TT, total = np.exp(chain.trans_TT), 0.0
    row_T = np.exp(chain.begin_T)
    for t, scores_T in enumerate(e_LT):
        most = scores_T.max()
        row_T = (row_T @ trans_TT if t else row_T) * np.exp(scores_T - most)
        row_sum = row_T.sum()
        total += float(most + np.log(row_sum))
        row_T = row_T / row_sum
    return total + float(np.log(row_T @ np.exp(chain.end_T)))


class Estimate(NamedTuple):
    """A model of symbols: its chain, log-emissions (T, V), and the likelihood before each round."""

    chain: Chain
    emissions_TV: Floats
    history: list[float]


def baum_welch(
    sequences: Sequence[NDArray[np.int64]],
    chain: Chain,
    emissions_TV: Floats,
    *,
    num_rounds: int = 20,
    smoothing: float = 0.0,
    tolerance: float = 1e-6,
) -> Estimate:
    """Expectation maximisation from given parameters; sequences are ids of symbols.

    Args:
        sequences: ids below V; those without any are skipped.
        chain: where to start.
        emissions_TV: where to start.
        num_rounds: at most.
        smoothing: added to every expected count; with 0 the likelihood never falls.
        tolerance: stop where the likelihood grows by less than this share.

    Returns:
        The last parameters; `history` has the log-likelihood before each round.
    """
    used = [sequence for sequence in sequences if len(sequence)]
    history: list[float] = []
    for _ in range(num_rounds):
        begin_T = np.full_like(chain.begin_T, smoothing)
        end_T = np.full_like(chain.end_T, smoothing)
        pairs_TT = np.full_like(chain.trans_TT, smoothing)
        counts_VT = np.full(emissions_TV.T.shape, smoothing)
        total = 0.0
        for sequence in used:
            found = forward_backward(chain, emissions_TV[:, sequence].T)
            total += found.log_likelihood
            begin_T += found.p_LT[0]
            end_T += found.p_LT[-1]
            pairs_TT += found.pairs_TT
            np.add.at(counts_VT, sequence, found.p_LT)
        history.append(total)
        chain = normalise(begin_T, pairs_TT, end_T)
        with np.errstate(divide="ignore"):
            emissions_TV = np.log(counts_VT.T / np.maximum(counts_VT.sum(axis=0), 1e-300)[:, None])
        # -inf times 0 is no number; e^-700 is as good as never.
        emissions_TV = np.maximum(emissions_TV, -700.0)
        if len(history) > 1 and total - history[-2] < tolerance * abs(total):
            break
    return Estimate(chain, emissions_TV, history)


def normalise(begin_T: Floats, pairs_TT: Floats, end_T: Floats) -> Chain:
    """Counts to log-probabilities; to end is one of the things that may follow a state."""
    leaving_T = np.maximum(pairs_TT.sum(axis=1) + end_T, 1e-300)
    with np.errstate(divide="ignore"):
        parts = (
            np.log(begin_T / max(begin_T.sum(), 1e-300)),
            np.log(pairs_TT / leaving_T[:, None]),
            np.log(end_T / leaving_T),
        )
    return Chain(*(np.maximum(part, -700.0) for part in parts))
