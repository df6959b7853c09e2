"""Kneser-Ney over words in dictionaries: slow, obvious, and what the package must agree with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from homespun.classic.kneser_ney.estimate import Smoothing
from homespun.classic.kneser_ney.vocabulary import END, MARKS, START, UNKNOWN
from homespun.classic.ngram import modified_discounts

Gram = tuple[str, ...]


class SentencesReference:
    """The model of `KneserNeyModel`, written down as its definition reads.

    Args:
        order: longest n-gram.
        smoothing: how counts become probabilities.
    """

    def __init__(self, *, order: int, smoothing: Smoothing | None = None) -> None:
        self.order = order
        self.smoothing = smoothing or Smoothing()
        self.words: set[str] = set()
        self.counts: dict[int, dict[Gram, int]] = {}

    def fit(self, sentences: Sequence[Sequence[str]]) -> SentencesReference:
        """Count every n-gram that ends in a predicted word."""
        raw: dict[int, Counter[Gram]] = {k: Counter() for k in range(1, self.order + 1)}
        left: dict[Gram, set[str]] = defaultdict(set)
        self.words = {word for sentence in sentences for word in sentence} - set(MARKS)
        for sentence in sentences:
            words = self._marked([*sentence, END])
            for end in range(1, len(words)):
                for k in range(1, min(self.order, end + 1) + 1):
                    start = end - k + 1
                    gram = tuple(words[start : end + 1])
                    raw[k][gram] += 1
                    if start > 0:
                        left[gram].add(words[start - 1])
        self.counts = {
            k: {
                gram: count if k == self.order or gram not in left else len(left[gram])
                for gram, count in raw[k].items()
            }
            for k in raw
        }
        return self

    def probability(self, word: str, history: Sequence[str]) -> float:
        """p(word | history since the start of the sentence); `</s>` is its end."""
        marked = tuple(self._marked(history))
        known = word if word in self.words or word == END else UNKNOWN
        return self._probability(known, marked[max(0, len(marked) - self.order + 1) :])

    def _marked(self, words: Sequence[str]) -> list[str]:
        ends = len(words) - 1 if words and words[-1] == END else len(words)
        inner = [word if word in self.words else UNKNOWN for word in words[:ends]]
        return [START, *inner, *words[ends:]]

    def _probability(self, word: str, history: Gram) -> float:
        k = len(history) + 1
        # All words, <unk> and </s>.
        lower = self._probability(word, history[1:]) if history else 1 / (len(self.words) + 2)
        followers = [count for gram, count in self.counts[k].items() if gram[:-1] == history]
        if not followers:
            return lower
        discounts = self._discounts(k)
        total = sum(followers)
        freed = sum(discounts[min(count, 3) - 1] for count in followers)
        count = self.counts[k].get((*history, word), 0)
        kept = count - discounts[min(count, 3) - 1] if count else 0.0
        return kept / total + freed / total * lower

    def _discounts(self, k: int) -> tuple[float, float, float]:
        """D1, D2, D3+ of order `k`."""
        if k == 1 and not self.smoothing.interpolate_unigrams:
            return (0.0, 0.0, 0.0)
        n = Counter(self.counts[k].values())
        if self.smoothing.discounts == "modified":
            # Checked against the equation in `test_classic_ngram.py`.
            return modified_discounts(np.array(list(self.counts[k].values()), dtype=np.int64))
        d = self.smoothing.discount
        if d is None:
            d = n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5
        return (d, d, d)
