"""Two texts: does one follow from the other, do they mean the same, how near are they?

task      Pair: what it wants of a row, and how good answers are
overlap   words both have, and a linear classifier
encoder   both texts through one encoder, side by side
"""

from homespun.recipes.applications.pair.task import Pair, Relation, TwoTexts

__all__ = ["Pair", "Relation", "TwoTexts"]
