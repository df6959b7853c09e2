"""The class of a text, or of a pair of texts; several classes; a number."""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import ExampleBatch


class ClassifyObjective:
    """Each text is one target."""

    name = "classify"

    def loss(self, model: Any, batch: ExampleBatch) -> LossOutput:
        """Args:
        model: `model(ids_BT, is_token_BT, types_BT) -> scores_BC` and
            `model.loss_sum(scores_BC, targets)`.
        batch: texts with their classes.
        """
        scores_BC = model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
        return LossOutput(model.loss_sum(scores_BC, batch.targets), batch.num_rows, {})
