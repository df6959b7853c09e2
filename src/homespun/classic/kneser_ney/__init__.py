"""Interpolated Kneser-Ney over the words of sentences, of any order, to and from ARPA files.

model       KneserNeyModel: fit, log_prob, perplexity, sample, write_arpa, read_arpa
vocabulary  words to numbers, rare ones to <unk>
count       windows of tokens, sorted in chunks and merged
estimate    from counts to probabilities: modified or absolute discounts
arpa        the text format that KenLM and SRILM share
kernels     sorting, merging and searching, compiled (ngram.c) or in numpy
reference   the same model in dictionaries, slow and obvious

`classic.ngram` is the same method over a tokenizer's ids, whose documents have one mark.
"""

from homespun.classic.kneser_ney.arpa import read_arpa, write_arpa
from homespun.classic.kneser_ney.estimate import Smoothing
from homespun.classic.kneser_ney.model import (
    KneserNeyModel,
    words_and_marks,
    words_between_blanks,
)
from homespun.classic.kneser_ney.vocabulary import Vocabulary

__all__ = [
    "KneserNeyModel",
    "Smoothing",
    "Vocabulary",
    "read_arpa",
    "words_and_marks",
    "words_between_blanks",
    "write_arpa",
]
