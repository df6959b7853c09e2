"""What is learned: each objective turns a model and a batch into a loss, and knows no other.

causal     the next token of running text
taught     the same, with a table of counts as a second teacher
truncated  the same, by a model with a memory, through which gradients flow so far and no further
prefix     text behind a part that is seen both ways: prefix language models, blanks
masked     words behind masks, by an encoder
seq2seq    a text written from another, by an encoder-decoder
classify   the class of a text, several, or a number
contrastive  pairs told from other pairs
tag        a tag for each word
joint      several tasks in turn
chat       the assistant's tokens of packed conversations

An objective holds no state and never touches the optimiser. `loss_sum` is in nats, summed over
targets; the loop divides by their number, so batches may be split as memory asks.
"""

from homespun.training.objectives.causal import CausalObjective
from homespun.training.objectives.chat import ChatObjective
from homespun.training.objectives.classify import ClassifyObjective
from homespun.training.objectives.contrastive import ContrastiveObjective
from homespun.training.objectives.joint import JointObjective
from homespun.training.objectives.masked import MaskedObjective
from homespun.training.objectives.prefix import PrefixObjective
from homespun.training.objectives.seq2seq import Seq2SeqObjective
from homespun.training.objectives.tag import TagObjective
from homespun.training.objectives.taught import TaughtObjective, Teacher
from homespun.training.objectives.truncated import TruncatedObjective

__all__ = [
    "CausalObjective",
    "ChatObjective",
    "ClassifyObjective",
    "ContrastiveObjective",
    "JointObjective",
    "MaskedObjective",
    "PrefixObjective",
    "Seq2SeqObjective",
    "TagObjective",
    "TaughtObjective",
    "Teacher",
    "TruncatedObjective",
]
