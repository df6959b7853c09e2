"""How many rows are longer than what is read of them, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homespun.recipes.applications.contract import ReadsBeginnings

_AT_ONCE = 1024


def are_cut(learned: Any, examples: Sequence[Any]) -> list[bool]:
    """Of each example whether only its beginning is read; of none where all is read."""
    if not isinstance(learned, ReadsBeginnings):
        return [False] * len(examples)
    found: list[bool] = []
    for start in range(0, len(examples), _AT_ONCE):
        found += learned.are_cut(examples[start : start + _AT_ONCE])
    return found


def count_cut(learned: Any, train: Sequence[Any], test: Sequence[Any]) -> dict[str, Any] | None:
    """What results.json says of it; None of what reads everything."""
    if not isinstance(learned, ReadsBeginnings):
        return None
    counts = {"train": sum(are_cut(learned, train)), "test": sum(are_cut(learned, test))}
    return {"most": learned.most, **counts}


def cut_notes(cut: dict[str, Any] | None) -> list[str]:
    """A sentence for people; none where no row is cut."""
    if cut is None or not cut["train"] + cut["test"]:
        return []
    return [
        f"{cut['test']:,} of the rows it was judged on, and {cut['train']:,} of those it learned "
        f"from, are longer than the {cut['most']} that fit: the rest of them was left out."
    ]
