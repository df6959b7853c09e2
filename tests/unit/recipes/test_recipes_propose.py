"""Which preset a plan takes where nobody asks for one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from homespun.recipes.scale.options import Text
from homespun.recipes.scale.propose import Ask, Proposal, better_preset
from homespun.scaling.choose import Outcome
from homespun.scaling.grid import Size


def proposal(bits_per_byte: float) -> Proposal:
    chosen = Outcome(Size(64, 3, 1, 1.0), 1, 1.0, 1.0, bits_per_byte)
    nothing: Any = None
    return Proposal("portable", nothing, chosen, nothing, nothing)


@pytest.mark.parametrize(
    ("fast", "margin", "taken"),
    [
        (1.49, 0.0, "fast"),
        (1.50, 0.0, "portable"),
        (1.36, 0.1, "portable"),
        (1.34, 0.1, "fast"),
    ],
)
def test_fast_is_taken_where_it_is_foretold_lower_by_the_margin(
    fast: float, margin: float, taken: str
) -> None:
    ask = Ask(cast(Any, None), Text(1, 1.0), "bpe", 8, 8, None, 1.0, None, margin)
    assert better_preset(ask, proposal(1.5), proposal(fast)) == taken
