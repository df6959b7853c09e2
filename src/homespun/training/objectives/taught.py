"""Next-token prediction on running text, with a table of counts as a second teacher.

Shape letters: B rows, T tokens of a row, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class Teacher(Protocol):
    """What knows how probable each next token is, such as `models.NgramPrior`."""

    def told(self, ids_BT: Tensor, *, blocks_BT: Tensor | None = None) -> Any:
        """`rows[part]`, log probabilities after a part of all B·T tokens, (rows, V), float32."""


class TaughtObjective:
    """Every token is a target, and so is the teacher's distribution at its place.

    Losses are those of the text; only gradients are of both. What the teacher has counted of the
    text that is read is left out by `Batch.blocks_BT`, which the source must give.

    Args:
        teacher: with probabilities for the model's whole vocabulary.
        share: of the teacher in what is aimed at, 0 to 1. The better the model is to become beside
            the teacher, the less.
    """

    name = "taught"

    def __init__(self, teacher: Teacher, *, share: float) -> None:
        assert 0.0 < share <= 1.0
        self._teacher = teacher
        self._share = share

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model(ids_BT) -> hidden_BTD` and
            `model.taught_loss(hidden_BTD, targets_BT, teacher_NV, share=)`.
        batch: rows of text, with `blocks_BT`.
        """
        hidden_BTD = model(batch.ids_BT)
        num_targets = int((batch.targets_BT != IGNORED).sum())
        if not torch.is_grad_enabled():
            return LossOutput(model.next_token_loss(hidden_BTD, batch.targets_BT), num_targets, {})
        teacher_NV = self._teacher.told(batch.ids_BT, blocks_BT=batch.blocks_BT)
        loss_sum = model.taught_loss(hidden_BTD, batch.targets_BT, teacher_NV, share=self._share)
        return LossOutput(loss_sum, num_targets, {})
