"""Where in a passage an answer stands, from an encoder.

Shape letters: B batch, T tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.heads.base import OnEncoder, Reader
from homespun.models.heads.crf import FORBIDDEN
from homespun.models.linear import Linear


class SpanReader(OnEncoder):
    """A score of each token for being the answer's first, and for being its last (Devlin et al.
    2019, sections 4.2 and 4.3); the first token of all stands for "there is none".

    Args:
        encoder: what it stands on.
        dropout: share of the encoder's hidden numbers that is left out while training.
    """

    def __init__(self, encoder: Reader, *, dropout: float = 0.1) -> None:
        super().__init__(encoder, dropout=dropout)
        self.out = Linear(self.width, 2, bias=True)

    @torch.no_grad()
    def begin(self) -> None:
        """Set the head's weights to zero: all places begin alike."""
        for parameter in (self.out.weight, self.out.bias):
            assert parameter is not None
            parameter.zero_()

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Scores (B, T, 2) in float32; far below all others at tokens that are no part of the
        passage (types of 0) but for the first of the row."""
        scores_BT2: Tensor = self.out(self.hidden(ids_BT, is_token_BT, types_BT))
        may_BT = is_token_BT & (types_BT > 0)
        may_BT[:, 0] = True
        return scores_BT2.masked_fill(~may_BT[..., None], FORBIDDEN)

    def loss_sum(self, scores_BT2: Tensor, targets_B2: Tensor) -> Tensor:
        """Nats of first and last token, halved and summed over texts.

        Args:
            scores_BT2: from `forward`.
            targets_B2: places of the first and the last token; (0, 0) where there is no answer.
        """
        first = F.cross_entropy(scores_BT2[..., 0], targets_B2[:, 0], reduction="sum")
        last = F.cross_entropy(scores_BT2[..., 1], targets_B2[:, 1], reduction="sum")
        return 0.5 * (first + last)


def best_span(scores_T2: Tensor, longest: int) -> tuple[int, int, float]:
    """The places i <= j < i + longest, both behind the first token, of the highest sum of scores,
    and that sum; (0, 0, -inf) where there are none. Ties go to the earlier.

    Args:
        scores_T2: of each token for being the first and for being the last.
        longest: tokens of an answer.
    """
    T = len(scores_T2)
    first_T, last_T = scores_T2[1:, 0], scores_T2[1:, 1]
    sums_TT = first_T[:, None] + last_T
    places_T = torch.arange(T - 1, device=scores_T2.device)
    ahead_TT = places_T - places_T[:, None]
    may_TT = (ahead_TT >= 0) & (ahead_TT < longest)
    may_TT &= (first_T[:, None] > FORBIDDEN / 2) & (last_T > FORBIDDEN / 2)
    if not bool(may_TT.any()):
        return 0, 0, float("-inf")
    sums_TT = sums_TT.masked_fill(~may_TT, float("-inf"))
    best = int(sums_TT.argmax())
    i, j = divmod(best, T - 1)
    return i + 1, j + 1, float(sums_TT[i, j])


def best_span_obvious(scores_T2: Tensor, longest: int) -> tuple[int, int, float]:
    """`best_span`, one pair of places at a time. Slow."""
    found = (0, 0, float("-inf"))
    rows = scores_T2.tolist()
    for i in range(1, len(rows)):
        for j in range(i, min(len(rows), i + longest)):
            score = rows[i][0] + rows[j][1]
            if min(rows[i][0], rows[j][1]) > FORBIDDEN / 2 and score > found[2]:
                found = i, j, score
    return found
