"""Recurrent language models of one's own texts: RNN, LSTM or GRU.

learning  from texts to a folder with the model, its tokenizer and a card
using     how likely it finds a text, and texts it writes
"""

from homespun.recipes.recurrent.learning import RecurrentAsk, learn_recurrent
from homespun.recipes.recurrent.using import OpenedRecurrent, open_recurrent

__all__ = ["OpenedRecurrent", "RecurrentAsk", "learn_recurrent", "open_recurrent"]
