"""Measures of labels, tags, answers, translations, transcripts and probabilities.

statistics      Statistics: rows that add up, and the value of their sum; Measurement: one number
uncertainty     intervals: bootstrap, Wilson's; two tests of one system against another
counts          precision, recall, F1 and the table of classes, for whatever is counted
classification  accuracy, confusion matrix, Matthews correlation, one label or several
tagging         F1 of exact spans from BIO, BIOES and BMES; accuracy of tokens
answers         exact match and F1 of answers, as SQuAD and CMRC 2018 count them
tokens          how translations are cut: 13a, zh
translation     BLEU and chrF
rouge           ROUGE-1, -2, -L
errors          word and character error rates, by edit distance
calibration     expected calibration error, Brier score, perplexity, bits per byte

Every measure gives a `Statistics`: `bleu(ours, theirs).value`, or with an interval
`with_interval(bleu(ours, theirs), generator)`, or `compared` of two. English and Chinese.
"""

from homespun.classic.edits import edit_distance
from homespun.evaluation.metrics.answers import AnswerScores, answer_scores
from homespun.evaluation.metrics.calibration import (
    bits_per_byte,
    bits_per_byte_statistics,
    bits_per_token,
    brier_score,
    brier_score_of_classes,
    expected_calibration_error,
    perplexity,
    perplexity_statistics,
)
from homespun.evaluation.metrics.classification import (
    accuracy,
    common_confusion,
    confusion_matrix,
    label_counts,
    label_table,
    matthews_correlation,
    multi_label_counts,
    samples_f1,
)
from homespun.evaluation.metrics.counts import ClassCounts, ClassRow
from homespun.evaluation.metrics.errors import character_error_rate, word_error_rate
from homespun.evaluation.metrics.rouge import RougeScorer, rouge
from homespun.evaluation.metrics.statistics import Measurement, Statistics, by_group
from homespun.evaluation.metrics.tagging import Span, span_counts, spans_of, token_accuracy
from homespun.evaluation.metrics.translation import bleu, chrf
from homespun.evaluation.metrics.uncertainty import (
    Comparison,
    approximate_randomisation,
    bootstrap,
    compared,
    paired_bootstrap,
    unvaried_interval,
    wilson_interval,
    with_interval,
)

__all__ = [
    "AnswerScores",
    "ClassCounts",
    "ClassRow",
    "Comparison",
    "Measurement",
    "RougeScorer",
    "Span",
    "Statistics",
    "accuracy",
    "answer_scores",
    "approximate_randomisation",
    "bits_per_byte",
    "bits_per_byte_statistics",
    "bits_per_token",
    "bleu",
    "bootstrap",
    "brier_score",
    "brier_score_of_classes",
    "by_group",
    "character_error_rate",
    "chrf",
    "common_confusion",
    "compared",
    "confusion_matrix",
    "edit_distance",
    "expected_calibration_error",
    "label_counts",
    "label_table",
    "matthews_correlation",
    "multi_label_counts",
    "paired_bootstrap",
    "perplexity",
    "perplexity_statistics",
    "rouge",
    "samples_f1",
    "span_counts",
    "spans_of",
    "token_accuracy",
    "unvaried_interval",
    "wilson_interval",
    "with_interval",
    "word_error_rate",
]
