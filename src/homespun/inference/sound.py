"""Whether a model's outputs are numbers at all.

R rows of scores, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from homespun.core import CheckpointError


def finite_rows(scores_RV: Tensor) -> list[bool]:
    """Which rows are sound. A sum tells of a single number that is none, and is the fastest way to
    ask."""
    found: list[bool] = scores_RV.sum(-1).isfinite().tolist()
    return found


def not_finite() -> CheckpointError:
    return CheckpointError(
        "the model's outputs are not finite numbers",
        remedy="take an earlier checkpoint: this one comes from a run that diverged",
    )
