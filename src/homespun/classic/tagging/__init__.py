"""Taggers of words and characters, before neural networks: all learn by `fit(sentences, tags)`.

rules          the most frequent tag of a word, patterns and endings
hmm            hidden Markov model, by counts or by Baum-Welch; also a language model
hmm_inference  its Viterbi, forward-backward and re-estimation
crf            linear-chain conditional random field, by L-BFGS
features       what a CRF sees of a word or a Chinese character
lattice        the CRF's inner loops in numpy, slow and obvious
native         the same compiled, where there is a C compiler
segment        Chinese word segmentation as tagging
spans          BIO, BIOES, BMES, BILOU tags to spans and back, offsets in code points
sentiment      for or against, by a learned lexicon with negation
base, store    the common manner and scores; taggers on disk

`predict(sentences)` gives a tag for each word, `score` the share that is right.
"""

from homespun.classic.tagging.base import (
    SpanScores,
    Tagger,
    accuracy,
    count_spans,
    span_scores,
)
from homespun.classic.tagging.crf import CRF
from homespun.classic.tagging.features import EXTRACTORS, character_type, word_shape
from homespun.classic.tagging.hmm import HMM
from homespun.classic.tagging.hmm_inference import (
    Chain,
    Estimate,
    Posterior,
    baum_welch,
    forward_backward,
    sequence_log_likelihood,
    viterbi,
)
from homespun.classic.tagging.rules import RulesTagger
from homespun.classic.tagging.segment import Segmenter
from homespun.classic.tagging.sentiment import LexiconSentiment
from homespun.classic.tagging.spans import (
    Span,
    bmes_to_words,
    convert_tags,
    spans_in_text,
    spans_to_tags,
    tags_to_spans,
    word_offsets,
    words_to_bmes,
)

__all__ = [
    "CRF",
    "EXTRACTORS",
    "HMM",
    "Chain",
    "Estimate",
    "LexiconSentiment",
    "Posterior",
    "RulesTagger",
    "Segmenter",
    "Span",
    "SpanScores",
    "Tagger",
    "accuracy",
    "baum_welch",
    "bmes_to_words",
    "character_type",
    "convert_tags",
    "count_spans",
    "forward_backward",
    "sequence_log_likelihood",
    "span_scores",
    "spans_in_text",
    "spans_to_tags",
    "tags_to_spans",
    "viterbi",
    "word_offsets",
    "word_shape",
    "words_to_bmes",
]
