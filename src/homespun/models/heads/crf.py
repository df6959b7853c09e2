"""A linear-chain conditional random field on scores that a network gives (Lafferty et al. 2001;
on networks Collobert et al. 2011, Huang et al. 2015, arXiv 1508.01991).

Shape letters: B batch, T places of a sequence, C tags.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

FORBIDDEN = -1e4
"""Score of what may not be: far below any other, and still a number to calculate with."""


class CrfLayer(nn.Module):
    """Scores of one tag after another, of the first and of the last.

    Args:
        num_tags: C.
        allowed: (C, C) bool, which tag may follow which; None for any.
        may_begin, may_end: (C,) bool, of the first and the last tag.
    """

    allowed_CC: Tensor
    may_begin_C: Tensor
    may_end_C: Tensor

    def __init__(
        self,
        num_tags: int,
        allowed: Tensor | None = None,
        may_begin: Tensor | None = None,
        may_end: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.after = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.begin = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        every = torch.ones(num_tags, dtype=torch.bool)
        pairs = torch.ones(num_tags, num_tags, dtype=torch.bool) if allowed is None else allowed
        # What may be is a matter of the tags' names, not of learning: it is not saved with weights.
        self.register_buffer("allowed_CC", pairs, persistent=False)
        begins = every if may_begin is None else may_begin
        self.register_buffer("may_begin_C", begins, persistent=False)
        self.register_buffer("may_end_C", every if may_end is None else may_end, persistent=False)

    def loss_sum(self, scores_BTC: Tensor, tags_BT: Tensor, is_real_BT: Tensor) -> Tensor:
        """-ln p(tags | scores), summed over sequences.

        Args:
            scores_BTC: float32, of each tag at each place.
            tags_BT: the right ones.
            is_real_BT: False behind the end of a sequence; each has one place at least.
        """
        return (
            self.log_norm(scores_BTC, is_real_BT) - self.path_score(scores_BTC, tags_BT, is_real_BT)
        ).sum()

    def path_score(self, scores_BTC: Tensor, tags_BT: Tensor, is_real_BT: Tensor) -> Tensor:
        """Of these tags, (B,), whether they may be or not."""
        tags_BT = tags_BT.clamp_min(0)
        own_BT = scores_BTC.gather(2, tags_BT[..., None]).squeeze(2)
        pair_BT = self.after[tags_BT[:, :-1], tags_BT[:, 1:]]
        total_B = (own_BT * is_real_BT).sum(1) + (pair_BT * is_real_BT[:, 1:]).sum(1)
        last_B = is_real_BT.sum(1) - 1
        end_B = self.end[tags_BT.gather(1, last_B[:, None]).squeeze(1)]
        return total_B + self.begin[tags_BT[:, 0]] + end_B

    def log_norm(self, scores_BTC: Tensor, is_real_BT: Tensor) -> Tensor:
        """ln of the sum over all sequences of tags that may be, (B,): the forward algorithm."""
        begin_C, after_CC, end_C = self._masked()
        alpha_BC = begin_C + scores_BTC[:, 0]
        for at in range(1, scores_BTC.shape[1]):
            next_BC = torch.logsumexp(alpha_BC[:, :, None] + after_CC, 1) + scores_BTC[:, at]
            alpha_BC = torch.where(is_real_BT[:, at, None], next_BC, alpha_BC)
        return torch.logsumexp(alpha_BC + end_C, 1)

    @torch.no_grad()
    def best(self, scores_BTC: Tensor, is_real_BT: Tensor) -> list[list[int]]:
        """The likeliest tags of each sequence (Viterbi); ties go to the lower number."""
        begin_C, after_CC, end_C = self._masked()
        alpha_BC = begin_C + scores_BTC[:, 0]
        came_from = []
        for at in range(1, scores_BTC.shape[1]):
            best_BC, from_BC = (alpha_BC[:, :, None] + after_CC).max(1)
            is_real_B1 = is_real_BT[:, at, None]
            alpha_BC = torch.where(is_real_B1, best_BC + scores_BTC[:, at], alpha_BC)
            here_C = torch.arange(alpha_BC.shape[1], device=alpha_BC.device)
            came_from.append(torch.where(is_real_B1, from_BC, here_C))
        last_B = (alpha_BC + end_C).argmax(1)
        path_BT = [last_B]
        for from_BC in reversed(came_from):
            path_BT.append(from_BC.gather(1, path_BT[-1][:, None]).squeeze(1))
        rows = torch.stack(path_BT[::-1], 1).tolist()
        lengths = is_real_BT.sum(1).tolist()
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _masked(self) -> tuple[Tensor, Tensor, Tensor]:
        """Begin, after and end, with what may not be far below all else."""
        return (
            self.begin.masked_fill(~self.may_begin_C, FORBIDDEN),
            self.after.masked_fill(~self.allowed_CC, FORBIDDEN),
            self.end.masked_fill(~self.may_end_C, FORBIDDEN),
        )


def log_norm_obvious(layer: CrfLayer, scores_TC: Tensor) -> Tensor:
    """`CrfLayer.log_norm` of one sequence, by adding up every sequence of tags there is. Slow."""
    T, C = scores_TC.shape
    begin_C, after_CC, end_C = layer._masked()
    totals = []
    for path in itertools.product(range(C), repeat=T):
        total = begin_C[path[0]] + end_C[path[-1]]
        total = total + sum(scores_TC[at, tag] for at, tag in enumerate(path))
        pairs = itertools.pairwise(path)
        totals.append(total + sum((after_CC[a, b] for a, b in pairs), scores_TC.new_zeros(())))
    return torch.logsumexp(torch.stack(totals), 0)
