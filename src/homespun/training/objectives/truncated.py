"""Next-token prediction with a memory that is carried on, its gradient cut off.

Shape letters: B rows, T tokens of a row, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class TruncatedObjective:
    """Truncated back-propagation through time (Williams and Peng 1990): a row is read in pieces,
    each from the memory that the one before left, through which no gradient flows back.

    Args:
        piece: tokens through which gradients flow.
    """

    name = "truncated"

    def __init__(self, piece: int) -> None:
        assert piece > 0
        self.piece = piece

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model.read(ids_BT, state) -> (hidden_BTD, state)`, `state.detached()`, and
            `model.next_token_loss(hidden_BTD, targets_BT)`.
        batch: rows of text; targets that are `IGNORED` do not count.
        """
        state, total = None, None
        for start in range(0, batch.ids_BT.shape[1], self.piece):
            part = slice(start, start + self.piece)
            hidden_BTD, after = model.read(batch.ids_BT[:, part], state)
            loss = model.next_token_loss(hidden_BTD, batch.targets_BT[:, part])
            total = loss if total is None else total + loss
            state = after.detached()
        assert total is not None, "a batch has tokens"
        return LossOutput(total, int((batch.targets_BT != IGNORED).sum()), {})
