"""A text written from another: translations, and summaries of whatever length.

task         Translate and Summarise: what they want of a row, and how good answers are
baselines    the nearest text that was seen; the beginning; the most central sentence
extract      the part of the text a learned judge holds best
recall       pairs that are kept, to look up those most like a text; known: what their tokens tell
reading      texts as ids, for learning, `apply` and the server
writer       an encoder-decoder: what it keeps, how it learns and writes
transformer  one that is learned from nothing; t5: a pretrained one that is fine-tuned
"""

from homespun.recipes.applications.translate.task import Pair, Summarise, Translate

__all__ = ["Pair", "Summarise", "Translate"]
