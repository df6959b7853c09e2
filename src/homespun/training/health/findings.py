"""What is off, in words a person can act on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CLOCKED = ("data_stall", "slow")
"""Kinds that depend on what a clock showed, so that a repeated run may find others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is off.

    Attributes:
        kind: which check found it.
        step: completed steps when it was found.
        value: what was measured.
        threshold: beyond which it is told.
        sentence: what it means and what to do.
    """

    kind: str
    step: int
    value: float
    threshold: float
    sentence: str

    def row(self) -> dict[str, Any]:
        """The row of metrics.jsonl."""
        values = asdict(self)
        return {
            "kind": "health",
            "step": values.pop("step"),
            "finding": values.pop("kind"),
        } | values
