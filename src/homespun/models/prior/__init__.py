"""Counts beside the network: an n-gram table says what usually follows, the decoder corrects it.

tables    smoothed n-gram tables, looked up a batch at a time
strength  how much the table counts, learned
teaching  cross entropy of a network alone that the table teaches

The loss of both together is that of `cross_entropy`. The tables are made by
`classic.count_left_out`; recipes hand them over, so neither room knows the other.
"""

from homespun.models.prior.strength import PriorStrength
from homespun.models.prior.tables import NgramPrior, OrderTable
from homespun.models.prior.teaching import cross_entropy_taught, cross_entropy_taught_obvious

__all__ = [
    "NgramPrior",
    "OrderTable",
    "PriorStrength",
    "cross_entropy_taught",
    "cross_entropy_taught_obvious",
]
