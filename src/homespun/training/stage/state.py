"""Everything the loop itself remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class State:
    """`state.json`: a stage that is resumed knows this and the tensors, nothing else.

    Attributes:
        step: completed steps; the position in the data too.
        tokens, skipped, skipped_in_a_row: counters.
        seconds: working seconds of the stage.
        progress: share of the stage done, as the schedule of the last step saw it.
        evaluated_step: of the last evaluation, -1 before the first.
        evaluation: what it gave.
        peak_memory_bytes: of all processes so far.
        evaluation_seconds, checkpoint_seconds, step_seconds: what those take, see `Limit`.
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    progress: float = 0.0
    evaluated_step: int = -1
    evaluation: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    evaluation_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    step_seconds: float = 0.0


def finite(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite becomes None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
