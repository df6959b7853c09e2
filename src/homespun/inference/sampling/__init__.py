"""From scores to the next token. The slow versions are in `reference.py`.

noise       uniform numbers that are a function of seed, place and token
filters     which tokens may come: temperature, top-k, typical, top-p, min-p
adjust      penalties, biases, what is banned
choose      all of it for the rows of a step
constraint  answers that are JSON, match an expression or a grammar
"""

from homespun.inference.sampling.adjust import Adjustment, needs_adjustment
from homespun.inference.sampling.choose import Ask, choose, log_probabilities
from homespun.inference.sampling.constraint import (
    ConstraintCompiler,
    ConstraintState,
    compile_constraint,
)
from homespun.inference.sampling.filters import Filters, filter_logits, is_greedy, sample
from homespun.inference.sampling.noise import draw_noise

__all__ = [
    "Adjustment",
    "Ask",
    "ConstraintCompiler",
    "ConstraintState",
    "Filters",
    "choose",
    "compile_constraint",
    "draw_noise",
    "filter_logits",
    "is_greedy",
    "log_probabilities",
    "needs_adjustment",
    "sample",
]
