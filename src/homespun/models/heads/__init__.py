"""What stands on an encoder: parts that say something of a text, learned with it.

base        OnEncoder: what all of them share
classifier  classes of a text or of a pair, one or several, or a number
embedder    a text as one vector
span        where in a passage an answer stands
tagger      a tag for each word; crf: which tag follows which
joint       several of these on one encoder
text_cnn    classes without an encoder: filters over neighbouring words

Each head is a model of its own for the training loop: it holds the encoder it stands on, be it a
Transformer or LSTMs from both ends.
"""

from homespun.models.heads.base import OnEncoder, Reader
from homespun.models.heads.classifier import Classifier
from homespun.models.heads.crf import CrfLayer, log_norm_obvious
from homespun.models.heads.embedder import Pooling, TextEmbedder
from homespun.models.heads.joint import JointHeads
from homespun.models.heads.span import SpanReader
from homespun.models.heads.tagger import WordTagger

__all__ = [
    "Classifier",
    "CrfLayer",
    "JointHeads",
    "OnEncoder",
    "Pooling",
    "Reader",
    "SpanReader",
    "TextEmbedder",
    "WordTagger",
    "log_norm_obvious",
]
