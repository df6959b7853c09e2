"""Language models and text methods that need no neural network: the yardsticks.

units            text to words and Chinese characters, the unit of all text statistics
ngram            modified Kneser-Ney n-gram model, vectorised; a proper distribution
kneser_ney       the same over words of sentences: cut-offs, samples, ARPA files; memory-bounded
left_out         such tables without each block of the text, for networks trained beside them
ngram_reference  the same model in dictionaries, slow and obvious; tests show that they agree
compressors      xz as a language model: what the training text saves on the validation text
tagging          taggers of words and characters: rules, HMM, CRF; Chinese words, sentiment
edits            edit distance and what is common in order, by the bits of one number
tfidf            nearest text by TF-IDF, the yardstick of chat answers
fuzzy            texts that help to translate another: TF-IDF, fewest edits, words that are missing
vectors          word2vec and GloVe: a package of its own, imported by name

Everything is scored in one convention: a document starts after the end-of-text mark, and the cost
of its own end mark is part of its score. No torch here.
"""

from homespun.classic.compressors import XzLanguageModel, join_documents
from homespun.classic.fuzzy import FuzzyIndex
from homespun.classic.kneser_ney import KneserNeyModel
from homespun.classic.left_out import LeftOutOrder, count_left_out
from homespun.classic.ngram import KneserNey, NgramLanguageModel, Unigram
from homespun.classic.tfidf import TfidfIndex
from homespun.classic.units import count_han, text_units

__all__ = [
    "FuzzyIndex",
    "KneserNey",
    "KneserNeyModel",
    "LeftOutOrder",
    "NgramLanguageModel",
    "TfidfIndex",
    "Unigram",
    "XzLanguageModel",
    "count_han",
    "count_left_out",
    "join_documents",
    "text_units",
]
