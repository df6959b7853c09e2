"""What is read: batches as functions of their number alone, so that a resumed run reads the same.

tokens    rows of one long token stream; the batch and what the loop asks of a source of them
packing   conversations packed into rows
mixture   several sources in one
pairs     a text to be read and one to be written
turns     the same pairs in several forms, by turns
examples  a text and what is to be said of it: a class, tags, a place, a number
twins     texts that belong together
tasks     several of these in turn
lengths   which of them share a batch
prefixes  a part of a row read, the rest written
denoising pieces taken out, to be written: span corruption, infilling
masking   words that are hidden, for encoders
"""

from homespun.training.data.examples import (
    Example,
    ExampleBatch,
    ExampleBatches,
    example_batch,
)
from homespun.training.data.masking import MaskedBatches, Words
from homespun.training.data.mixture import MixedBatches
from homespun.training.data.packing import ChatBatches, PackingStats
from homespun.training.data.pairs import Pair, PairBatch, PairBatches, pair_batch
from homespun.training.data.tasks import TaskBatch, TaskBatches
from homespun.training.data.tokens import (
    IGNORED,
    Batch,
    BatchSource,
    RowOrder,
    TokenArray,
    TokenBatches,
    stack_rows,
)
from homespun.training.data.turns import TurnBatches

__all__ = [
    "IGNORED",
    "Batch",
    "BatchSource",
    "ChatBatches",
    "Example",
    "ExampleBatch",
    "ExampleBatches",
    "MaskedBatches",
    "MixedBatches",
    "PackingStats",
    "Pair",
    "PairBatch",
    "PairBatches",
    "RowOrder",
    "TaskBatch",
    "TaskBatches",
    "TokenArray",
    "TokenBatches",
    "TurnBatches",
    "Words",
    "example_batch",
    "pair_batch",
    "stack_rows",
]
