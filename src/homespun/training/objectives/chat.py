"""Supervised fine-tuning: what the assistant says, given what was said before.

Shape letters: B rows, T tokens of a row, N targets of the batch, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class ChatObjective:
    """The assistant's tokens are targets; questions and markers are read, not learned.

    Conversations that share a row do not see each other, and each begins at position 0.
    """

    name = "chat"

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model(ids_BT, positions_BT=, segments_BT=) -> hidden_BTD` and
            `model.next_token_loss(hidden_ND, targets_N)`.
        batch: packed conversations.
        """
        hidden_BTD = model(
            batch.ids_BT, positions_BT=batch.positions_BT, segments_BT=batch.segments_BT
        )
        # Most places are questions: only the hidden states of targets go through the head.
        targets = batch.targets_BT.flatten()
        places_N = (targets != IGNORED).nonzero().squeeze(1)
        hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, places_N)
        loss_sum = model.next_token_loss(hidden_ND, targets.index_select(0, places_N))
        return LossOutput(loss_sum, len(places_N), {})
