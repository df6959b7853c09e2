"""Texts that belong together near one another, and far from the others of their batch."""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data.twins import TwinBatch


class ContrastiveObjective:
    """Each pair is one target."""

    name = "contrastive"

    def loss(self, model: Any, batch: TwinBatch) -> LossOutput:
        """Args:
        model: `model(ids_BT, is_token_BT, types_BT) -> vectors_BD` and
            `model.loss_sum(first_BD, second_BD, same_BB)`.
        batch: pairs.
        """
        first_BD, second_BD = (
            model(side.ids_BT, side.is_token_BT, side.types_BT)
            for side in (batch.first, batch.second)
        )
        return LossOutput(model.loss_sum(first_BD, second_BD, batch.same_BB), batch.num_rows, {})
