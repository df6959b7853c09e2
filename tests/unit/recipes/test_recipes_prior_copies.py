"""Odds of copies, measured on a training text with its own block left out."""

from __future__ import annotations

import numpy as np

from homespun.core import TextBlocks
from homespun.recipes.prior import make_prior

END = 40


def text_of(*, echoes: bool) -> np.ndarray:
    """Documents of random words; with echoes their second half is their first once more."""
    random = np.random.default_rng(3)
    parts = [[END]]
    for _ in range(60):
        half = random.integers(0, 40, 24)
        parts += [half, half if echoes else random.integers(0, 40, 24), [END]]
    return np.concatenate(parts)


def odds_of(tokens: np.ndarray) -> np.ndarray:
    blocks = TextBlocks(tokens, end_of_text_id=END, num_blocks=4)
    prior = make_prior(
        tokens, vocab_size=41, order=3, blocks=blocks, end_of_text_id=END, copy_context=64
    )
    assert prior.copy_odds is not None
    return prior.copy_odds.numpy()


def test_a_text_that_repeats_itself_is_believed_and_one_that_does_not_is_not() -> None:
    repeating, random = odds_of(text_of(echoes=True)), odds_of(text_of(echoes=False))
    assert repeating[3] > 5
    assert repeating[3] > repeating[1]  # a word alone may have come again by chance
    assert random.max() < 0.3
