"""Beam search with diverse groups, on log probabilities alone.

Beams of a group go on by the likeliest continuations of all of them. Groups choose one after
another, and tokens that earlier groups chose at the same place count less (Vijayakumar et al. 2016,
arXiv 1610.02424). A beam's score is its log probability divided by its length to the power of the
length penalty (the plain form of Wu et al. 2016, arXiv 1609.08144, section 7).

V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from homespun.core import FinishReason, SamplingSettings


class Beam(NamedTuple):
    """A beginning of an answer, or one that has ended.

    Attributes:
        ids: tokens, the one that ended it left out.
        total: log probability, the one that ended it included.
        length: tokens, the one that ended it included.
        finish_reason: None while it goes on.
    """

    ids: tuple[int, ...]
    total: float
    length: int
    finish_reason: FinishReason | None = None

    def score(self, length_penalty: float) -> float:
        return float(self.total / max(1, self.length) ** length_penalty)


class BeamSearch:
    """The search for one answer.

    Args:
        settings: how many beams and groups, and the penalties.
        most: tokens of an answer at most.
        end_ids: tokens that end one.
        is_stopped: whether ids end in a stop string.

    Attributes:
        live: beams that go on, group after group.
        ended: those that do not.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        *,
        most: int,
        end_ids: frozenset[int],
        is_stopped: Callable[[tuple[int, ...]], bool],
    ) -> None:
        self._settings = settings
        self._most = most
        self._end_ids = end_ids
        self._is_stopped = is_stopped
        self._size = settings.beams // settings.beam_groups
        self.live = [Beam((), 0.0, 0)]
        # Which group each live beam is of. The first beam is everyone's.
        self._groups = [-1]
        self._ended: list[list[Beam]] = [[] for _ in range(settings.beam_groups)]

    @property
    def ended(self) -> list[Beam]:
        return [beam for group in self._ended for beam in group]

    @property
    def last_ids(self) -> list[int]:
        """The last token of each beam that goes on."""
        return [beam.ids[-1] for beam in self.live]

    def advance(self, log_probs: Sequence[Tensor]) -> list[int]:
        """Go on by one token.

        Args:
            log_probs: (V,) of each live beam; minus infinity where a token may not come.

        Returns:
            For each of the new live beams, which of the old ones it goes on from.
        """
        chosen: Counter[int] = Counter()
        live: list[Beam] = []
        groups: list[int] = []
        parents: list[int] = []
        for group in range(self._settings.beam_groups):
            own = [i for i, of in enumerate(self._groups) if of in (group, -1)]
            found = self._best(own, log_probs, chosen)
            kept = 0
            for rank, (parent, token, total) in enumerate(found):
                before = self.live[parent]
                length = before.length + 1
                if token in self._end_ids:
                    # An end that is not among the best would let unlikely short texts win.
                    if rank < self._size:
                        self._ended[group].append(Beam(before.ids, total, length, "stop"))
                    continue
                if kept == self._size:
                    continue
                kept += 1
                chosen[token] += 1
                ids = (*before.ids, token)
                if self._is_stopped(ids):
                    self._ended[group].append(Beam(ids, total, length, "stop"))
                elif length == self._most:
                    self._ended[group].append(Beam(ids, total, length, "length"))
                else:
                    live.append(Beam(ids, total, length))
                    groups.append(group)
                    parents.append(parent)
            if self._is_done(group, [b for b, g in zip(live, groups, strict=True) if g == group]):
                at = [i for i, g in enumerate(groups) if g != group]
                live, groups, parents = (
                    [live[i] for i in at],
                    [groups[i] for i in at],
                    [parents[i] for i in at],
                )
        self.live, self._groups = live, groups
        return parents

    def best(self, num: int, extra: Callable[[Beam], float] = lambda beam: 0.0) -> list[Beam]:
        """The best that have ended, best first; after the search there are at least as many as
        tokens may come.

        Args:
            num: how many are wanted at most.
            extra: is added to a beam's score.
        """
        power = self._settings.length_penalty
        distinct = {beam.ids: beam for beam in sorted(self.ended, key=lambda b: b.score(power))}
        scores = {ids: beam.score(power) + extra(beam) for ids, beam in distinct.items()}
        return sorted(distinct.values(), key=lambda b: (-scores[b.ids], b.ids))[:num]

    def _best(
        self, own: Sequence[int], log_probs: Sequence[Tensor], chosen: Counter[int]
    ) -> list[tuple[int, int, float]]:
        """The best continuations (beam, token, total) of the beams `own`: twice as many as there
        are beams, since half of them may end."""
        candidates = []
        for i in own:
            log_p_V = log_probs[i].clone()
            for token, times in chosen.items():
                log_p_V[token] -= self._settings.diversity_penalty * times
            most = min(2 * self._size, len(log_p_V))
            for value, token in zip(*(x.tolist() for x in log_p_V.topk(most)), strict=True):
                if value > float("-inf"):
                    rank = self.live[i].total + value
                    total = self.live[i].total + float(log_probs[i][token])
                    candidates.append((-rank, i, token, total))
        candidates.sort()
        return [(i, token, total) for _, i, token, total in candidates[: 2 * self._size]]

    def _is_done(self, group: int, live: Sequence[Beam]) -> bool:
        """As many have ended as there are beams, and none that goes on is better than they are."""
        if len(self._ended[group]) < self._size:
            return False
        power = self._settings.length_penalty
        scores = sorted((beam.score(power) for beam in self._ended[group]), reverse=True)
        least = scores[self._size - 1]
        return all(beam.score(power) <= least for beam in live)
