"""/why: how sure the model was of each piece of its answer, and what else it weighed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from homespun.cli.terminal import table, visible

if TYPE_CHECKING:
    from rich.table import Table

    from homespun.core import TokenLogprob

MOST_ROWS = 80


def why_table(
    tokens: Sequence[TokenLogprob], token_bytes: Callable[[int], bytes], num_others: int
) -> Table:
    """A row a token: its text, its probability, and the likeliest others."""
    made = table("said", "", title="how likely each piece was, before temperature and filters")
    made.add_column("others")
    for token in tokens[:MOST_ROWS]:
        others = [(index, p) for index, p in token.top if index != token.token_id][:num_others]
        made.add_row(
            piece_text(token_bytes(token.token_id)),
            share_text(token.logprob),
            "  ".join(f"{piece_text(token_bytes(index))} {share_text(p)}" for index, p in others),
        )
    if len(tokens) > MOST_ROWS:
        made.caption = f"the first {MOST_ROWS} of {len(tokens)}"
    return made


def piece_text(data: bytes) -> str:
    """The text of a token, so that spaces are seen and parts of characters do not disturb."""
    if not data:
        return "(end)"
    text = visible(data.decode("utf-8", "backslashreplace"))
    return text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·").replace("\u3000", "・")


def share_text(logprob: float) -> str:
    share = 100 * math.exp(logprob)
    return f"{share:.0f}%" if share >= 9.95 else f"{share:.1f}%" if share >= 0.05 else "<0.1%"
