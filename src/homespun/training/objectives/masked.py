"""Words behind masks, as encoders learn them (Devlin et al. 2019, arXiv 1810.04805).

Shape letters: B rows, T tokens of a row, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class MaskedObjective:
    """Chosen tokens are targets, told from all others of their row."""

    name = "masked"

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model(ids_BT) -> hidden_BTD` and `model.masked_loss(hidden_BTD, targets_BT)`.
        batch: from `MaskedBatches`; targets that are `IGNORED` are not asked for.
        """
        loss_sum = model.masked_loss(model(batch.ids_BT), batch.targets_BT)
        return LossOutput(loss_sum, int((batch.targets_BT != IGNORED).sum()), {})
