"""Next-token prediction on running text.

Shape letters: B rows, T tokens of a row, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class CausalObjective:
    """Every token is a target, predicted from those before it in its row."""

    name = "causal"

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model(ids_BT) -> hidden_BTD`, with `blocks_BT=` where the batch has them, and
            `model.next_token_loss(hidden_BTD, targets_BT)`.
        batch: rows of text; targets that are `IGNORED` do not count.
        """
        blocks = {} if batch.blocks_BT is None else {"blocks_BT": batch.blocks_BT}
        hidden_BTD = model(batch.ids_BT, **blocks)
        loss_sum = model.next_token_loss(hidden_BTD, batch.targets_BT)
        num_targets = int((batch.targets_BT != IGNORED).sum())
        return LossOutput(loss_sum, num_targets, {})
