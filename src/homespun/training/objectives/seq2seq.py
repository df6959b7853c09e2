"""A text written from another: translation, summaries, and whatever else has that shape.

Shape letters: B rows, T written tokens, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, PairBatch


class Seq2SeqObjective:
    """Every written token is a target, told from what was read and written before.

    Args:
        smoothing: share of the aim that lies on all words alike; 0.1 in Vaswani et al. 2017.
    """

    name = "seq2seq"

    def __init__(self, smoothing: float = 0.0) -> None:
        assert 0.0 <= smoothing < 1.0
        self.smoothing = smoothing

    def loss(self, model: Any, batch: PairBatch) -> LossOutput:
        """Args:
        model: `model(source_BS, is_source_BS, ids_BT) -> hidden_BTD`, and
            `model.next_token_loss(hidden_BTD, targets_BT, smoothing=)`; one that copies has
            `model.copying_loss(source_BS, is_source_BS, ids_BT, targets_BT, smoothing=)`.
        batch: pairs; targets that are `IGNORED` do not count.
        """
        is_source_BS = None if bool(batch.is_source_BS.all()) else batch.is_source_BS
        read = batch.source_BS, is_source_BS, batch.ids_BT
        if getattr(model, "copying", None) is None:
            # By the model's own call, which is what sharded models prepare themselves at.
            hidden_BTD = model(*read)
            loss_sum = model.next_token_loss(hidden_BTD, batch.targets_BT, smoothing=self.smoothing)
        else:
            loss_sum = model.copying_loss(*read, batch.targets_BT, smoothing=self.smoothing)
        return LossOutput(loss_sum, int((batch.targets_BT != IGNORED).sum()), {})
