"""What is learned by counting, from a text of one's own: word vectors and n-gram models.

begun    a folder that was asked for something, and the clean text in it
words    word2vec and GloVe: learned, judged, drawn
ngrams   Kneser-Ney models: learned, judged, ARPA files
"""

from homespun.recipes.counted.ngrams import (
    NgramsAsk,
    learn_ngrams,
    open_ngrams,
    reads_lines,
    score_file,
)
from homespun.recipes.counted.words import WordsAsk, judge_words, learn_words, open_words

__all__ = [
    "NgramsAsk",
    "WordsAsk",
    "judge_words",
    "learn_ngrams",
    "learn_words",
    "open_ngrams",
    "open_words",
    "reads_lines",
    "score_file",
]
