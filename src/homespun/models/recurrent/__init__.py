"""Recurrent language models: what there was between counting and attention.

cells   one step of each kind, written as its paper has it: the slow versions
model   embedding, layers of RNN, GRU or LSTM, and the head
reader  both ends of a text, for what stands on encoders
config  their shape, and how they are put together
"""

from homespun.models.recurrent.config import RecurrentConfig
from homespun.models.recurrent.model import RecurrentLM, State
from homespun.models.recurrent.reader import BidirectionalReader, ReaderConfig

__all__ = ["BidirectionalReader", "ReaderConfig", "RecurrentConfig", "RecurrentLM", "State"]
