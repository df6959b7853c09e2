"""What a text says of itself: the word that followed the same words earlier in the context.

Documentation, code and lists repeat themselves from afar, in places that no table of counts has
seen. For each place the longest run of tokens that ends there and stood in the context before is
found; what followed it then is likely to follow now, the likelier the longer the run. So

    p(v) = (table(v) + o share(v)) / (1 + o)        o = odds of the run's length

where share(v) is how many of the runs of that length v followed, and the odds are measured on the
training text (`recipes.prior`). It is the cache of Kuhn and De Mori 1990 with a memory of what
came before a word, as pointer networks learn it (Merity et al. 2017, arXiv 1609.07843).

Shape letters: B rows, T tokens of a row, N places, V vocabulary, F followers, P pairs of places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from homespun.models.native.active import kernels_on

LONGEST = 12
"""Longer runs count as this long."""
MOST = 8
"""Followers that are looked at, the latest ones."""
COLUMNS = 1 + MOST
"""Numbers of a place: the length of its run, and what followed it, -1 where there is no more."""

_FEWEST = 20  # places of a length, to measure its odds


def find_copies(ids_BT: Tensor, *, last: int, positions_BT: Tensor | None = None) -> Tensor:
    """The longest run at each of the last `last` columns, int64, (B, last, COLUMNS).

    Args:
        ids_BT: int64, in the processor's memory; those below 0 are like no other.
        positions_BT: of the tokens in texts of their own; runs keep to one text.
    """
    kernels = kernels_on(ids_BT.device)
    begins_BT = None
    if positions_BT is not None:
        # A text may have begun before the first column.
        begins_BT = (torch.arange(ids_BT.shape[1]) - positions_BT).clamp(min=0)
        begins_BT = begins_BT.expand_as(ids_BT).contiguous()
    if kernels is None:
        return _find_copies(ids_BT, begins_BT, last)
    ids_BT = ids_BT.long().contiguous()
    return kernels.find_copies(ids_BT, begins_BT, last=last, longest=LONGEST, most=MOST)


def _find_copies(ids_BT: Tensor, begins_BT: Tensor | None, last: int) -> Tensor:
    """`find_copies` by torch alone; `begins_BT`: where the text of each token begins."""
    B, T = ids_BT.shape
    first = T - last
    found_BTC = torch.full((B, last, COLUMNS), -1, dtype=torch.int64)
    found_BTC[:, :, 0] = 0
    narrow_BT = ids_BT.int()
    same_BTS = narrow_BT[:, first:, None] == narrow_BT[:, None, :]
    same_BTS &= torch.ones((last, T), dtype=torch.bool).tril_(first - 1)
    b_P, t_P, s_P = same_BTS.nonzero(as_tuple=True)
    t_P = t_P + first
    keep_P = ids_BT[b_P, t_P] >= 0
    begin_BT = torch.zeros_like(ids_BT)
    if begins_BT is not None:
        begin_BT = begins_BT
        keep_P &= s_P >= begin_BT[b_P, t_P]
    b_P, t_P, s_P = b_P[keep_P], t_P[keep_P], s_P[keep_P]
    if not len(b_P):
        return found_BTC
    length_P = torch.ones_like(s_P)
    at_P, begin_P = torch.arange(len(s_P)), begin_BT[b_P, t_P]
    for back in range(1, LONGEST):
        b, t, s = b_P[at_P], t_P[at_P] - back, s_P[at_P] - back
        inside = s >= begin_P[at_P]
        at_P, b, t, s = at_P[inside], b[inside], t[inside], s[inside]
        alike = (ids_BT[b, t] == ids_BT[b, s]) & (ids_BT[b, t] >= 0)
        at_P = at_P[alike]
        length_P[at_P] += 1
        if not len(at_P):
            break
    place_P = b_P * last + (t_P - first)
    best_N = torch.zeros(B * last, dtype=torch.int64)
    best_N.scatter_reduce_(0, place_P, length_P, "amax")
    longest_P = length_P == best_N[place_P]
    place_P, s_P, b_P = place_P[longest_P], s_P[longest_P], b_P[longest_P]
    # Pairs come by place and then from the earliest on; ranks count from the latest.
    count_N = torch.bincount(place_P, minlength=B * last)
    rank_P = (count_N.cumsum(0))[place_P] - 1 - torch.arange(len(place_P))
    few_P = rank_P < MOST
    flat = found_BTC.view(B * last, COLUMNS)
    flat[:, 0] = best_N
    flat[place_P[few_P], 1 + rank_P[few_P]] = ids_BT[b_P[few_P], s_P[few_P] + 1]
    return found_BTC


def find_copies_obvious(ids_T: list[int], begin_T: list[int]) -> list[list[int]]:
    """`find_copies` of one row, every column; `begin_T`: where the text of each token begins."""
    found = []
    for t, token in enumerate(ids_T):
        lengths = {}
        for s in range(begin_T[t], t):
            length = 0
            while (
                length < LONGEST
                and s - length >= begin_T[t]
                and ids_T[s - length] == ids_T[t - length] >= 0
            ):
                length += 1
            lengths[s] = length
        best = max(lengths.values(), default=0) if token >= 0 else 0
        after = [ids_T[s + 1] for s in sorted(lengths, reverse=True) if best == lengths[s] > 0]
        row = [best, *after[:MOST]]
        found.append(row + [-1] * (COLUMNS - len(row)))
    return found


def add_copies(rows_NV: Tensor, copies_NC: Tensor, odds_L: Tensor) -> Tensor:
    """Mix what followed before into log probabilities, in place; returns them.

    Args:
        rows_NV: float32, log p of words. copies_NC: of the same places, as `find_copies` gives it.
        odds_L: for runs of 0, 1, … `LONGEST` tokens; those of 0 are not looked at.
    """
    words = rows_NV.shape[1]
    at_M = (copies_NC[:, 0] > 0).nonzero()[:, 0]
    followers_MF = copies_NC[at_M, 1:]
    known_MF = (followers_MF >= 0) & (followers_MF < words)
    has_M = known_MF.any(1)
    at_M, followers_MF, known_MF = at_M[has_M], followers_MF[has_M], known_MF[has_M]
    if not len(at_M):
        return rows_NV
    odds_M = odds_L[copies_NC[at_M, 0]]
    word_MF = torch.where(known_MF, followers_MF, -1)
    # A word that followed several times has its place several times, each with the whole share.
    share_MF = ((word_MF[:, :, None] == word_MF[:, None, :]) & known_MF[:, None, :]).sum(2)
    share_MF = share_MF / known_MF.sum(1, keepdim=True)
    m, f = known_MF.nonzero(as_tuple=True)
    row, word = at_M[m], word_MF[m, f]
    mixed = (rows_NV[row, word].exp() + odds_M[m] * share_MF[m, f]).log_()
    rows_NV[row, word] = mixed
    rows_NV[at_M] -= torch.log1p(odds_M)[:, None]
    return rows_NV


def fit_odds(log_p_N: Tensor, copies_NC: Tensor, targets_N: Tensor, *, rounds: int = 40) -> Tensor:
    """Odds for each length by expectation maximisation, float32, (LONGEST + 1,).

    Args:
        log_p_N: of the targets, by a table that has not counted them.
        copies_NC: of the same places. targets_N: what did follow.
    """
    odds_L = torch.zeros(LONGEST + 1)
    followers_NF = copies_NC[:, 1:]
    known_N = (followers_NF >= 0).sum(1)
    share_N = (followers_NF == targets_N[:, None]).sum(1) / known_N.clamp(min=1)
    p_N = log_p_N.double().exp()
    for length in range(1, LONGEST + 1):
        own = (copies_NC[:, 0] == length) & (known_N > 0)
        if int(own.sum()) < _FEWEST:  # as a shorter run, rather than by chance
            odds_L[length] = odds_L[length - 1]
            continue
        p, share = p_N[own], share_N[own].double()
        weight = 0.2
        for _ in range(rounds):
            weight = float((weight * share / ((1 - weight) * p + weight * share)).mean())
        weight = min(weight, 0.99)
        # Rounded, so that another machine, whose exponentials differ in the last bit, agrees.
        odds_L[length] = float(f"{weight / (1 - weight):.3g}")
    return odds_L
