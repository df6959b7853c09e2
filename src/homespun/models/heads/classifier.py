"""Classes of a text, or a number, from an encoder.

Shape letters: B batch, T time, D width, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.extras.dropout import dropped
from homespun.models.heads.base import OnEncoder, Reader
from homespun.models.linear import Linear

Pooling = Literal["first", "mean", "both"]
Kind = Literal["one", "many", "number"]


class Classifier(OnEncoder):
    """A layer, tanh, and a score for each class, on what the encoder says of the whole text.

    BERT's own way (Devlin et al. 2019, section 4.1) takes the first token's vector ("first");
    "mean" the mean of all, which suits encoders taught so; "both" puts them side by side.

    Args:
        encoder: what it stands on.
        num_outputs: C; 1 for a number.
        kind: "one" class a text, "many" at once, or a "number".
        pooling: see above.
        dropout: share left out while training, of hidden numbers and before the scores.
    """

    def __init__(
        self,
        encoder: Reader,
        num_outputs: int,
        *,
        kind: Kind = "one",
        pooling: Pooling = "both",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(encoder, dropout=dropout)
        self.kind, self.pooling = kind, pooling
        width = self.width * (2 if pooling == "both" else 1)
        self.dense = Linear(width, self.width, bias=True)
        self.out = Linear(self.width, num_outputs, bias=True)

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Draw the head's weights: N(0, 1/fan-in) below, zero above, so that all classes begin
        alike."""
        self.dense.weight.normal_(0.0, self.dense.in_width**-0.5, generator=generator)
        for part in (self.dense.bias, self.out.bias):
            assert part is not None
            part.zero_()
        self.out.weight.zero_()

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Scores (B, C) in float32."""
        hidden_BTD = self.hidden(ids_BT, is_token_BT, types_BT)
        parts = []
        if self.pooling in ("first", "both"):
            parts.append(hidden_BTD[:, 0])
        if self.pooling in ("mean", "both"):
            weight_BT1 = is_token_BT[..., None].float()
            total_BD = (hidden_BTD * weight_BT1).sum(1)
            parts.append(total_BD / weight_BT1.sum(1).clamp_min(1.0))
        pooled_BD = torch.tanh(self.dense(torch.cat(parts, 1)))
        pooled_BD = dropped(pooled_BD, self.dropout) if self.training else pooled_BD
        scores_BC: Tensor = self.out(pooled_BD)
        return scores_BC

    def loss_sum(self, scores_BC: Tensor, targets: Tensor) -> Tensor:
        """Summed over texts: nats of the right class; of several, nats a class; half the squared
        distance of a number.

        Args:
            scores_BC: from `forward`.
            targets: (B,) classes, (B, C) of 0 and 1, or (B,) numbers.
        """
        if self.kind == "one":
            return F.cross_entropy(scores_BC, targets, reduction="sum")
        if self.kind == "many":
            nats_BC = F.binary_cross_entropy_with_logits(
                scores_BC, targets.float(), reduction="none"
            )
            return nats_BC.mean(1).sum()
        return 0.5 * (scores_BC[:, 0] - targets.float()).square().sum()
