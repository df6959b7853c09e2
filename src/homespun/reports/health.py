"""What training found to be off, from done.json or, while it is under way, from its rows."""

from __future__ import annotations

from typing import Any

from homespun.reports.collect import RunFiles, listing


def health_of(files: RunFiles, stage: str) -> list[dict[str, Any]]:
    """The findings of a stage, oldest first: "step" and "sentence" of each. The same kind again
    and again is shown once, with "times"."""
    rows = listing(files.done[stage], "result", "health") or [
        row for row in files.rows[stage] if row.get("kind") == "health"
    ]
    shown: dict[str, dict[str, Any]] = {}
    for row in rows:
        kind, step, sentence = row.get("finding"), row.get("step"), row.get("sentence")
        if not isinstance(sentence, str) or not isinstance(step, int):
            continue
        times = shown[str(kind)]["times"] + 1 if str(kind) in shown else 1
        shown[str(kind)] = {"step": step, "sentence": sentence, "times": times}
    return list(shown.values())
