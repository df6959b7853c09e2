"""Whether a difference is more than chance: pairs of trainings that differ in one thing alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LEVEL = 0.95


def compared(rows: Sequence[Mapping[str, Any]], base: str) -> list[dict[str, Any]]:
    """A row a variant, in the order in which they first appear.

    Args:
        rows: finished trainings: `variant`, `seed`, `val_loss`, `val_bpb`, `tokens`,
            `tokens_per_second`, `parameters`.
        base: name of the recipe that nothing was changed in.

    Returns:
        `variant`, `losses` by seed, means `val_loss` and `val_bpb`, and, beside the base's
        trainings of the same seeds: `difference` in nats (above 0: worse than the base), `low` and
        `high`, its 95% interval by Student's t over seeds (None with fewer than two), and `speed`,
        the quotient of tokens a second.
    """
    names = list(dict.fromkeys(row["variant"] for row in rows))
    by = {(row["variant"], row["seed"]): row for row in rows}
    found = []
    for name in names:
        own = [row for row in rows if row["variant"] == name]
        pairs = [(row, by[base, row["seed"]]) for row in own if (base, row["seed"]) in by]
        differences = np.array([row["val_loss"] - other["val_loss"] for row, other in pairs])
        speeds = [row["tokens_per_second"] / other["tokens_per_second"] for row, other in pairs]
        low, high = interval(differences) if name != base else (None, None)
        found.append(
            {
                "variant": name,
                "losses": {str(row["seed"]): row["val_loss"] for row in own},
                "val_loss": float(np.mean([row["val_loss"] for row in own])),
                "val_bpb": float(np.mean([row["val_bpb"] for row in own])),
                "tokens": int(np.mean([row["tokens"] for row in own])),
                "parameters": own[0]["parameters"],
                "difference": float(differences.mean()) if len(differences) else None,
                "low": low,
                "high": high,
                "speed": float(np.mean(speeds)) if speeds else None,
            }
        )
    return found


def interval(differences: np.ndarray[Any, Any]) -> tuple[float | None, float | None]:
    """Mean ± t · s / sqrt(n), with n - 1 degrees of freedom; None with fewer than two."""
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        return None, None
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * differences.std(ddof=1) / math.sqrt(n)
    return float(differences.mean() - reach), float(differences.mean() + reach)
