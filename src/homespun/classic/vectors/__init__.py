"""Word vectors: learned, kept, asked and judged.

vocabulary          words and counts; texts to sentences of word numbers
word2vec            skip-gram and CBOW with negative sampling
cooccurrence        sums of 1/distance over windows, sparse
glove               weighted least squares on the logarithms of such counts
keyed               words and their vectors: nearest, analogies, a picture
store               word2vec's text format; safetensors beside JSON
evaluation          Spearman's rho on word pairs, accuracy on analogies
draws               random numbers that C and Python draw alike
native              vectors.c, compiled
word2vec_reference, glove_reference  the inner loops, slow and obvious; tests show they agree
"""

from homespun.classic.vectors.cooccurrence import Cooccurrences, count_cooccurrences
from homespun.classic.vectors.evaluation import (
    Analogy,
    AnalogyScore,
    PairScore,
    WordPair,
    read_analogies,
    read_word_pairs,
    score_analogies,
    score_word_pairs,
)
from homespun.classic.vectors.glove import GloVe
from homespun.classic.vectors.keyed import WordVectors
from homespun.classic.vectors.vocabulary import (
    EncodedText,
    Vocabulary,
    encode_sentences,
    text_sentences,
    text_words,
)
from homespun.classic.vectors.word2vec import Word2Vec

__all__ = [
    "Analogy",
    "AnalogyScore",
    "Cooccurrences",
    "EncodedText",
    "GloVe",
    "PairScore",
    "Vocabulary",
    "Word2Vec",
    "WordPair",
    "WordVectors",
    "count_cooccurrences",
    "encode_sentences",
    "read_analogies",
    "read_word_pairs",
    "score_analogies",
    "score_word_pairs",
    "text_sentences",
    "text_words",
]
