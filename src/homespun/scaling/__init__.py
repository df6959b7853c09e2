"""How big, how long, on how much text.

plan   split a budget of minutes into stages and choose a model size from measured speeds

Arithmetic only: no torch, no files. Recipes measure the machine and hand the numbers in. The fit
of a scaling law to this project's own runs belongs here too.
"""

from homespun.scaling.plan import (
    TOKENS_PER_PARAMETER,
    Choice,
    Speed,
    StageBudget,
    choose_size,
    format_duration,
    split_budget,
)

__all__ = [
    "TOKENS_PER_PARAMETER",
    "Choice",
    "Speed",
    "StageBudget",
    "choose_size",
    "format_duration",
    "split_budget",
]
