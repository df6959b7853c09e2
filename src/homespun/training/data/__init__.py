"""What is read: batches as functions of their number alone, so that a resumed run reads the same.

tokens    rows of one long token stream; the batch and what the loop asks of a source of them
packing   conversations packed into rows
mixture   several sources in one
pairs     a text to be read and one to be written
masking   words that are hidden, for encoders
"""

from homespun.training.data.masking import MaskedBatches, Words
from homespun.training.data.mixture import MixedBatches
from homespun.training.data.packing import ChatBatches, PackingStats
from homespun.training.data.pairs import Pair, PairBatch, PairBatches
from homespun.training.data.tokens import (
    IGNORED,
    Batch,
    BatchSource,
    RowOrder,
    TokenArray,
    TokenBatches,
    stack_rows,
)

__all__ = [
    "IGNORED",
    "Batch",
    "BatchSource",
    "ChatBatches",
    "MaskedBatches",
    "MixedBatches",
    "PackingStats",
    "Pair",
    "PairBatch",
    "PairBatches",
    "RowOrder",
    "TokenArray",
    "TokenBatches",
    "Words",
    "stack_rows",
]
