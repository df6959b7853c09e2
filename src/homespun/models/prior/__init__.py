"""Counts beside the network: an n-gram table says what usually follows, the decoder corrects it.

tables    smoothed n-gram tables, looked up a batch at a time
copies    what followed the same words earlier in the context
strength  how much the table counts, learned

The loss of both together, and that of a network which the table teaches, are those of
`cross_entropy`. The tables are made by
`classic.count_left_out`; recipes hand them over, so neither room knows the other.
"""

from homespun.models.prior.strength import PriorStrength
from homespun.models.prior.tables import (
    NgramPrior,
    OrderTable,
    TableRows,
    places_from_numbers,
    places_to_numbers,
)

__all__ = [
    "NgramPrior",
    "OrderTable",
    "PriorStrength",
    "TableRows",
    "places_from_numbers",
    "places_to_numbers",
]
