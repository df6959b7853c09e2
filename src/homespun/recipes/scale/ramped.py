"""Ramps of rows and context, as people write them, in plans."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from homespun.core import ConfigError, parse_config
from homespun.core.processes import process_place
from homespun.scaling.rules import LARGEST_BATCH

if TYPE_CHECKING:
    from homespun.training import RampConfig

_REMEDY = 'write --ramp "0.3:4x128,0.7:8x256": shares of the steps, rows and context of each'


def parse_ramp(text: str | None) -> RampConfig | None:
    """What "0.3:4x128,0.7:8x256" says: for 0.3 of the steps 4 rows of 128 tokens, then 8 of 256.
    With ",sqrt" at its end learning rates follow the root of a batch's tokens.

    Raises:
        ConfigError: it says nothing like that, or what cannot be.
    """
    from homespun.training import RampConfig

    if text is None:
        return None
    return parse_config(RampConfig, ramp_settings(text), where="the ramp")


def ramp_settings(text: str) -> dict[str, Any]:
    """The fields of the `RampConfig` that `parse_ramp` makes of it; errors are the same, sooner."""
    parts = [part.strip() for part in text.split(",")]
    rate = "constant"
    if len(parts) > 1 and parts[-1] == "sqrt":
        rate = parts.pop()
    phases: list[dict[str, Any]] = []
    for part in parts:
        found = re.fullmatch(r"(\d*\.?\d+)\s*:\s*(\d{1,6})x(\d{1,6})", part, re.ASCII)
        if not found:
            raise ConfigError("a ramp has parts like 0.3:4x128", got=part, remedy=_REMEDY)
        share, rows, context = float(found[1]), int(found[2]), int(found[3])
        if rows * context > LARGEST_BATCH:
            raise ConfigError(
                f"a batch has {LARGEST_BATCH:,} tokens at most", got=part, remedy=_REMEDY
            )
        if not (0 < share <= 1 and rows and context >= 2):
            raise ConfigError(
                "each part of a ramp has a share above 0, a row at least and two tokens in it",
                got=part,
                remedy=_REMEDY,
            )
        phases.append({"share": share, "rows": rows, "context": context})
    total = sum(phase["share"] for phase in phases)
    if abs(total - 1.0) > 1e-6:
        raise ConfigError("the shares of a ramp add up to 1", got=f"{total:g}", remedy=_REMEDY)
    longest = max(phase["context"] for phase in phases)
    odd = [phase["context"] for phase in phases if longest % phase["context"]]
    if odd:
        raise ConfigError(
            f"the contexts of a ramp divide the longest, {longest}",
            got=odd[0],
            remedy="choose halves, quarters and so on of it",
        )
    return {"phases": phases, "rate": rate}


def check_ramp(ramp: RampConfig, *, num_tokens: int) -> None:
    """Raises ConfigError where a text of `num_tokens` or the processes there are cannot follow."""
    if num_tokens < ramp.context + 2:  # one more to tell, and one that closes the ring
        raise ConfigError(
            f"the training text has {num_tokens} tokens and a row of the ramp {ramp.context}",
            remedy="choose shorter contexts, or add text",
        )
    size, fewest = process_place().size, min(phase.rows for phase in ramp.phases)
    if fewest < size:
        raise ConfigError(
            f"each of {size} processes needs a row of every batch",
            got=fewest,
            remedy="give each part of the ramp more rows",
        )
