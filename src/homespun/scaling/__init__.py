"""How big, how long, on how much text.

plan      split a budget of minutes into stages
choose    the size and length of least predicted loss, from the law and measured speeds
rules     learning rates, batch, warm-up and depth that follow from size and length
law       law.json: fitted constants, intervals, predictions
between   the law of a text between two whose laws are known
beside    what a pilot beside an n-gram table says of another text
edge      the best loss of so many operations, beyond the runs there are
curve     where a run's loss should lie on the way
loss, fit, isoflop   the formula, its fit with a bootstrap, parabolas at equal operations
grid, runs           which runs a sweep makes, and the line each leaves
published            exponents of others, and why ours differ

Arithmetic with NumPy and SciPy: no torch. Recipes train and measure, and hand the numbers in.
"""

from homespun.scaling.plan import (
    StageBudget,
    format_duration,
    split_budget,
)

__all__ = [
    "StageBudget",
    "format_duration",
    "split_budget",
]
