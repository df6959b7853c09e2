"""Measures of tagged sequences: F1 of exact spans, and accuracy of tokens.

Tags are BIO, BIOES, BMES or BILOU ("B-PER", "S", "O"), also IOB1. They are read as the taggers
read them (`classic.tagging.spans`), leniently, as in conlleval and seqeval: a span begins where a
beginning is written or where the type changes, whatever stood before, so `I-PER` after `O` begins
one, and every sequence of tags has a reading.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from homespun.classic.tagging.spans import tags_to_spans
from homespun.core import DataError
from homespun.evaluation.metrics.counts import ClassCounts
from homespun.evaluation.metrics.statistics import Statistics, check_lengths, ratio_statistics


class Span(NamedTuple):
    """Tokens start … stop-1 of a sequence; `type` is "" for tags without one."""

    type: str
    start: int
    stop: int


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that `tags` write, in order.

    Raises:
        DataError: a tag is of no known scheme.
    """
    return [Span(label, start, stop) for start, stop, label in tags_to_spans(tags)]


def span_counts(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    types: Collection[str] = (),
) -> ClassCounts:
    """Precision, recall and F1 of exact spans: right are those with the same type and borders.

    `f1("micro")` is the number that papers on entities give; `table()` has a row for each type.

    Args:
        gold, predicted: tags of N sentences, as long as each other.
        types: of spans that have a column beside those that occur, as another system has them.

    Raises:
        DataError: numbers of sentences or lengths of one differ, or a tag is unknown.
    """
    _check_sentences(gold, predicted)
    pairs = [(set(spans_of(g)), set(spans_of(p))) for g, p in zip(gold, predicted, strict=True)]
    names = sorted({*types, *(span.type for pair in pairs for side in pair for span in side)})
    codes = {kind: code for code, kind in enumerate(names)}
    counts = ClassCounts.empty(len(pairs), names, "spans")
    parts = counts.right_NC, counts.predicted_NC, counts.gold_NC
    for row, (there, found) in enumerate(pairs):
        for part_NC, spans in zip(parts, (there & found, found, there), strict=True):
            for span in spans:
                part_NC[row, codes[span.type]] += 1
    return counts


def token_accuracy(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Statistics:
    """Share of tokens whose tag is the gold one; sentences are the items."""
    _check_sentences(gold, predicted)
    right_N = np.array(
        [
            sum(g == p for g, p in zip(*pair, strict=True))
            for pair in zip(gold, predicted, strict=True)
        ],
        dtype=np.float64,
    )
    sizes_N = np.array([len(tags) for tags in gold], dtype=np.float64)
    return ratio_statistics("token accuracy", right_N, sizes_N, "kind:tokens", is_share=True)


def _check_sentences(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    check_lengths(gold=gold, predicted=predicted)
    for number, (g, p) in enumerate(zip(gold, predicted, strict=True)):
        if len(g) != len(p):
            raise DataError(
                f"sentence {number} has another number of tags than of gold tags",
                got=f"{len(p)} for {len(g)}",
                remedy="give a tag for each token",
            )
