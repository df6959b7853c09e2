"""An encoder-decoder that learns from a corpus to write what was taken out of a text.

pretraining   from texts to a folder that `finetune translate|summarise --base` takes
tokens        texts as one stream of byte-level tokens
shape         how large, and with how many marks
judging       pieces of held-out text, beside what knows their frequencies alone
"""

from homespun.recipes.rewriter.pretraining import RewriterAsk, pretrain_rewriter

__all__ = ["RewriterAsk", "pretrain_rewriter"]
