"""The encoder-only Transformer (BERT, Devlin et al. 2019, arXiv 1810.04805): every token sees all.

model   embedding, layers before or after their norms, the head that says masked words
config  its shape, and how it is put together
bert    weights and config.json of BERT and MiniLM as Hugging Face has them
files   folders with one or the other
"""

from homespun.models.encoder.bert import load_bert, read_bert
from homespun.models.encoder.config import EncoderConfig
from homespun.models.encoder.files import OWN_TYPE, read_encoder, write_encoder
from homespun.models.encoder.model import Encoder, EncoderBlock, MaskedHead, mean_pooled

__all__ = [
    "OWN_TYPE",
    "Encoder",
    "EncoderBlock",
    "EncoderConfig",
    "MaskedHead",
    "load_bert",
    "mean_pooled",
    "read_bert",
    "read_encoder",
    "write_encoder",
]
