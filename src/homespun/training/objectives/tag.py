"""A tag for each word of a sentence."""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, ExampleBatch


class TagObjective:
    """Each word is one target, at its first token."""

    name = "tag"

    def loss(self, model: Any, batch: ExampleBatch) -> LossOutput:
        """Args:
        model: `model(ids_BT, is_token_BT, types_BT) -> scores_BTC` and
            `model.loss_sum(scores_BTC, targets_BT)`.
        batch: with a target for each token; those that are `IGNORED` do not count.
        """
        scores_BTC = model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
        loss_sum = model.loss_sum(scores_BTC, batch.targets)
        return LossOutput(loss_sum, int((batch.targets != IGNORED).sum()), {})
