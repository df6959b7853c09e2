"""Chinese word segmentation as tagging: each character begins, goes on, ends or is a word.

Source: Xue 2003, "Chinese Word Segmentation as Character Tagging".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from homespun.classic.tagging.base import Sentence, SpanScores, Tagger, count_spans
from homespun.classic.tagging.spans import Span, bmes_to_words, word_offsets, words_to_bmes


class Segmenter:
    """Cuts text into words, having learned from text that was cut.

    Args:
        tagger: an `HMM`, or a `CRF` with the features "characters"; it learns in `fit`.
    """

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    def fit(self, sentences: Sequence[Sentence]) -> Self:
        """Learn from sentences of words. Raises DataError where there are none."""
        pairs = [words_to_bmes(words) for words in sentences]
        self._tagger.fit([row for row, _ in pairs], [tags for _, tags in pairs])
        return self

    def predict(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text; joined they are the text. Raises ConfigError before `fit`."""
        rows = [list(text) for text in texts]
        tags = self._tagger.predict(rows)
        return [bmes_to_words(row, found) for row, found in zip(rows, tags, strict=True)]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Start and stop of the words in code points. Raises ConfigError before `fit`."""
        return [word_offsets(words) for words in self.predict(texts)]

    def scores(self, sentences: Sequence[Sentence]) -> SpanScores:
        """Precision, recall and F1 of words. Raises ConfigError before `fit`."""
        found = self.predict(["".join(words) for words in sentences])
        return count_spans(map(_word_spans, sentences), map(_word_spans, found))


def _word_spans(words: Sentence) -> list[Span]:
    return [Span(start, stop, "") for start, stop in word_offsets(words)]
