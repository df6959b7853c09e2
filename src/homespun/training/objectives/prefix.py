"""Text behind a part that is seen both ways: prefix language models, and blanks that are filled.

Shape letters: B rows, T tokens of a row, D width.
"""

from __future__ import annotations

from typing import Any

from homespun.core import LossOutput
from homespun.training.data import IGNORED, Batch


class PrefixObjective:
    """Tokens behind the prefix of their row are targets, told from all of it and from those between
    (Raffel et al. 2020, arXiv 1910.10683, section 3.2.1; GLM, Du et al. 2022, arXiv 2103.10360)."""

    name = "prefix"

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Args:
        model: `model(ids_BT, prefix_B=) -> hidden_BTD`, and `model.next_token_loss(hidden_BTD,
            targets_BT)`.
        batch: rows of text with a `prefix_B`; targets that are `IGNORED` do not count.
        """
        assert batch.prefix_B is not None, "the rows have no prefix"
        hidden_BTD = model(batch.ids_BT, prefix_B=batch.prefix_B)
        loss_sum = model.next_token_loss(hidden_BTD, batch.targets_BT)
        return LossOutput(loss_sum, int((batch.targets_BT != IGNORED).sum()), {})
