"""The n-gram table beside a decoder.

counting  a table of a training stream, whole and without each block
kept      a run's table: counted once, kept beside its plan, read wherever its model is used
"""

from homespun.recipes.prior.counting import make_prior

__all__ = ["make_prior"]
