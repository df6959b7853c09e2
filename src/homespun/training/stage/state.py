"""Everything the loop itself remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from homespun.core import CheckpointError
from homespun.training.health import Memory


@dataclass
class State:
    """`state.json`: a stage that is resumed knows this and the tensors, nothing else.

    Attributes:
        step: completed steps.
        left_out: micro batches of the source passed over by going back; with `step` the position
            in the data.
        tokens, skipped, skipped_in_a_row: counters.
        large_gradients: of the steps skipped in a row up to now, those at its end whose loss was
            as before.
        losses, grad_norms: of the newest steps taken, what a new one is judged by.
        kinds: which of several tasks those steps were of; empty where there is one.
        parts: in how many parts each micro batch is cut to fit into memory; more may be asked for,
            see `ParallelConfig.accumulate`.
        anchor_step: of the newest checkpoint good enough to go back to, -1 for none.
        best_step: of the lowest held-out loss so far, -1 for none; its checkpoint stays.
        best_loss, best_progress, best_evaluation: of that step.
        looks_since: evaluations since then.
        anchor_best_step: what `best_step` was at `anchor_step`.
        has_turned: the held-out loss has, and the stage ends for it.
        memory: what the checks of health compare with.
        findings: rows of what was found to be off, oldest first.
        rewinds: how often the run went back.
        rewinds_here: how often without getting past `rewound_step`, the farthest it had come.
        seconds: working seconds of the stage.
        progress: share of the stage done, as the schedule of the last step saw it.
        evaluated_step: of the last evaluation, -1 before the first.
        evaluation: what it gave.
        peak_memory_bytes: of all processes so far.
        saving_seconds: that training waited for checkpoints.
        evaluating_seconds: that all evaluations took.
        evaluation_seconds, checkpoint_seconds, step_seconds: what those take, see `Limit`.
    """

    step: int = 0
    left_out: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    large_gradients: int = 0
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    parts: int = 1
    memory: Memory = field(default_factory=Memory)
    findings: list[dict[str, Any]] = field(default_factory=list)
    anchor_step: int = -1
    best_step: int = -1
    best_loss: float | None = None
    best_progress: float = 0.0
    best_evaluation: dict[str, Any] = field(default_factory=dict)
    looks_since: int = 0
    anchor_best_step: int = -1
    has_turned: bool = False
    rewinds: int = 0
    rewinds_here: int = 0
    rewound_step: int = 0
    seconds: float = 0.0
    progress: float = 0.0
    evaluated_step: int = -1
    evaluation: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    saving_seconds: float = 0.0
    evaluating_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    step_seconds: float = 0.0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> State:
        """From what `state.json` holds; what an older version did not write is as at the start.

        Raises:
            CheckpointError: it holds what this version does not know.
        """
        memory = values.get("memory", {})
        unknown = [*(values.keys() - _names(cls)), *(memory.keys() - _names(Memory))]
        if unknown:
            raise CheckpointError(
                "the checkpoint's state.json holds what this version does not know",
                got=min(unknown),
                remedy="go on with the version of homespun that wrote it",
            )
        return cls(**{**values, "memory": Memory(**memory)})


def _names(kind: type[State | Memory]) -> set[str]:
    return {one.name for one in fields(kind)}


def finite(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite becomes None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
