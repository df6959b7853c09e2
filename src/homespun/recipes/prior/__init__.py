"""The n-gram table beside a decoder.

counting  a table of a training stream, whole and without each block
"""

from homespun.recipes.prior.counting import make_prior

__all__ = ["make_prior"]
