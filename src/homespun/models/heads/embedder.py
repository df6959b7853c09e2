"""A text as one vector, learned so that texts that belong together are near one another.

Shape letters: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.encoder import mean_pooled
from homespun.models.heads.base import OnEncoder, Reader

SCALE = 20.0
"""Factor of cosines before their softmax: a temperature of 0.05, as in Gao et al. 2021 (arXiv
2104.08821)."""


Pooling = Literal["mean", "first"]


class TextEmbedder(OnEncoder):
    """The mean of the encoder's vectors or the first one, of length 1; nothing is added to the
    encoder.

    Args:
        encoder: what is taught.
        pooling: which of the tokens' vectors; the first is that of the mark before a text.
        dropout: share of the encoder's hidden numbers that is left out while training.
    """

    def __init__(self, encoder: Reader, *, pooling: Pooling = "mean", dropout: float = 0.0) -> None:
        super().__init__(encoder, dropout=dropout)
        self.pooling = pooling

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Vectors (B, D) in float32."""
        hidden_BTD = self.hidden(ids_BT, is_token_BT, types_BT)
        if self.pooling == "first":
            return F.normalize(hidden_BTD[:, 0], dim=1)
        return mean_pooled(hidden_BTD, is_token_BT)

    def loss_sum(
        self, first_BD: Tensor, second_BD: Tensor, same_BB: Tensor | None = None
    ) -> Tensor:
        """Nats of finding each first text's second among all second ones, and the other way round,
        halved and summed: other pairs of the batch are what is to be told apart (Henderson et al.
        2017, arXiv 1705.00652, section 4.4). Pairs that share a text (`same_BB`) are left out."""
        scores_BB = SCALE * first_BD @ second_BD.T
        if same_BB is not None:
            scores_BB = scores_BB.masked_fill(same_BB, float("-inf"))
        right_B = torch.arange(len(first_BD), device=scores_BB.device)
        there = F.cross_entropy(scores_BB, right_B, reduction="sum")
        back = F.cross_entropy(scores_BB.T, right_B, reduction="sum")
        return 0.5 * (there + back)
