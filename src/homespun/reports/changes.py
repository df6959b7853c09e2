"""What a run that goes on from another shows of it: before, after, and the sentences."""

from __future__ import annotations

from homespun.reports.collect import RunFiles, dig, listing, number, table
from homespun.reports.views import View

_TEXTS = {
    "old": "Text it had learnt from before",
    "new": "The new text",
    "same": "The validation text",
    "within": "Within the old context",
    "beyond": "Beyond the old context",
}


def change_view(files: RunFiles) -> View | None:
    """Bits per byte of each text before and after; None for a run that began from nothing."""
    change = files.change
    if change is None:
        return None
    rows = []
    for name, found in table(change, "texts").items():
        interval = listing(found, "interval")
        rows.append(
            {
                "name": _TEXTS.get(name, name),
                "before": number(found, "before"),
                "after": number(found, "after"),
                "difference": number(found, "difference"),
                "interval": interval if len(interval) == 2 else None,
            }
        )
    return {
        "parent": str(dig(change, "parent", "run") or ""),
        "sentences": [str(sentence) for sentence in listing(change, "sentences")],
        "rows": rows,
    }
