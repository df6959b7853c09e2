"""What stands on an encoder: parts that say something of a text, learned with it.

base        OnEncoder: what all of them share
classifier  classes of a text or of a pair, one or several, or a number

Each head is a model of its own for the training loop: it holds the encoder it stands on.
"""

from homespun.models.heads.base import OnEncoder
from homespun.models.heads.classifier import Classifier

__all__ = ["Classifier", "OnEncoder"]
