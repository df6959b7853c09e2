"""The encoder-decoder Transformer: one text is read as a whole, another written from it.

attention  what the writer looks up in what was read
copying    words that are taken over from the text that is read
nearest    what followed in nearly the same state, of texts that are known
positions  sinusoidal tables (Vaswani et al. 2017) and relative ones (T5)
rewriter   what every model has that reads one text and writes another
model      both halves, layers of the writer, scores and loss
ensemble   several that write together
config     its shape, as of 2017, as T5 or later, and how it is put together
t5         weights and config.json of T5 as Hugging Face has them
files      one of ours in a folder
"""

from homespun.models.encoder_decoder.config import EncoderDecoderConfig
from homespun.models.encoder_decoder.ensemble import Ensemble
from homespun.models.encoder_decoder.files import (
    is_own_writer,
    read_encoder_decoder,
    write_encoder_decoder,
)
from homespun.models.encoder_decoder.model import EncoderDecoder
from homespun.models.encoder_decoder.nearest import KnownTokens, Trust
from homespun.models.encoder_decoder.rewriter import Remembered, Rewriter
from homespun.models.encoder_decoder.t5 import T5Marks, load_t5, read_t5, read_t5_marks

__all__ = [
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "Ensemble",
    "KnownTokens",
    "Remembered",
    "Rewriter",
    "T5Marks",
    "Trust",
    "is_own_writer",
    "load_t5",
    "read_encoder_decoder",
    "read_t5",
    "read_t5_marks",
    "write_encoder_decoder",
]
