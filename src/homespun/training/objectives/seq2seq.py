"""A text written from another: translation, summaries, and whatever else has that shape.

Shape letters: B rows, T written tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch

from homespun.core import LossOutput
from homespun.training.data import IGNORED, PairBatch


class Seq2SeqObjective:
    """Every written token is a target, told from what was read and written before.

    Args:
        smoothing: share of the aim that lies on all words alike; 0.1 in Vaswani et al. 2017.
        agreement: share of the aim that is what the model says of the same pairs under other
            dropout, see `EncoderDecoder.next_token_loss`; every pair is then read twice a step.
    """

    name = "seq2seq"

    def __init__(self, smoothing: float = 0.0, agreement: float = 0.0) -> None:
        assert 0.0 <= smoothing < 1.0
        assert 0.0 <= agreement < 1.0
        self.smoothing, self.agreement = smoothing, agreement

    def loss(self, model: Any, batch: PairBatch) -> LossOutput:
        """Args:
        model: `model(source_BS, is_source_BS, ids_BT) -> hidden_BTD`, and
            `model.next_token_loss(hidden_BTD, targets_BT, smoothing=)`; one that copies has
            `model.copying_loss(source_BS, is_source_BS, ids_BT, targets_BT, smoothing=)`.
        batch: pairs; targets that are `IGNORED` do not count.
        """
        num_targets = int((batch.targets_BT != IGNORED).sum())
        aims, times = {"smoothing": self.smoothing}, 1
        if self.agreement:
            aims["agreement"] = self.agreement
            batch, times = _twice(batch), 2
        is_source_BS = None if bool(batch.is_source_BS.all()) else batch.is_source_BS
        read = batch.source_BS, is_source_BS, batch.ids_BT
        if getattr(model, "copying", None) is None:
            # By the model's own call, which is what sharded models prepare themselves at.
            hidden_BTD = model(*read)
            loss_sum = model.next_token_loss(hidden_BTD, batch.targets_BT, **aims)
        else:
            loss_sum = model.copying_loss(*read, batch.targets_BT, **aims)
        return LossOutput(loss_sum / times, num_targets, {})


def _twice(batch: PairBatch) -> PairBatch:
    """Its rows, and the same rows once more behind them."""
    return PairBatch(
        torch.cat([batch.source_BS] * 2),
        torch.cat([batch.is_source_BS] * 2),
        torch.cat([batch.ids_BT] * 2),
        torch.cat([batch.targets_BT] * 2),
        batch.num_tokens,
    )
