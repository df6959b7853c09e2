"""An encoder that learns words behind masks from a corpus, to begin tasks with.

pretraining   from texts to a folder that `--base` takes
tokens        texts as one stream of WordPiece tokens, and where words begin in it
shape         how large, how it is trained
judging       masked words of held-out text, beside what knows their frequencies alone
"""

from homespun.recipes.encoder.pretraining import EncoderAsk, pretrain_encoder

__all__ = ["EncoderAsk", "pretrain_encoder"]
