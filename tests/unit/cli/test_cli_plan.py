"""What `homespun plan` says of a plan besides its figures."""

from __future__ import annotations

from typing import Any

import pytest

from homespun.cli.commands.plan import beyond_text, context_text, readings_text
from homespun.recipes.plan.make import CONTEXT, fitting_context


@pytest.mark.parametrize(
    ("num_tokens", "ramp", "why"),
    [
        (10**6, None, "as in all runs behind the law"),
        (1_000, None, "would not fill rows of 256 20 times"),
        (10**6, {"phases": []}, "as --ramp says"),
    ],
)
def test_a_plan_says_why_its_rows_are_so_long(num_tokens: int, ramp: Any, why: str) -> None:
    context = fitting_context(num_tokens)
    said = context_text({"model": {"context": context}, "ramp": ramp})
    assert said.startswith(f"context: {context} tokens")
    assert why in said
    assert (context < CONTEXT) == (num_tokens < 20 * CONTEXT)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (1.0, ""),
        (1.02, ""),
        (1.06, "1.1"),
        (9.94, "9.9"),
        (9.96, "10"),
        (123.4, "123"),
        (5e4, "50,000"),
    ],
)
def test_a_plan_says_in_whole_numbers_how_far_beyond_the_law_it_goes(
    times: float, said: str
) -> None:
    told = beyond_text(times)
    assert (
        told == "" if not said else told.startswith(f"this run makes {said} times the operations")
    )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (16.0, "the corpus 16.0 times"),
        (0.96, "the corpus 1.0 times"),
        (0.94, "94% of the corpus"),
        (0.023, "2.3% of the corpus"),
        (0.001, "0.1% of the corpus"),
        (0.0, "less than a thousandth of the corpus"),
    ],
)
def test_a_large_corpus_is_not_said_to_be_read_no_times(times: float, said: str) -> None:
    assert readings_text(times) == said
