"""Words with tags: parts of speech, names, Chinese words.

task     Tag and Segment: what they want of a row, and how good answers are
classic  the commonest tag and patterns; HMM; CRF
neural   LSTMs from both ends or an encoder, with a CRF on them
"""

from homespun.recipes.applications.tag.task import Segment, Sentence, Tag, are_spans

__all__ = ["Segment", "Sentence", "Tag", "are_spans"]
