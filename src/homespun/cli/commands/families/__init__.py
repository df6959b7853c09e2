"""Models of other families, from one's own texts.

encoder          `homespun encoder`: one to begin tasks with
encoder_decoder  `homespun encoder-decoder`: one to begin translations and summaries with
recurrent        `homespun recurrent`: RNN, LSTM and GRU that learn, score and write
"""

from homespun.cli.commands.families.encoder import encoder
from homespun.cli.commands.families.encoder_decoder import encoder_decoder
from homespun.cli.commands.families.recurrent import build_group as build_recurrent

__all__ = ["build_recurrent", "encoder", "encoder_decoder"]
