"""Modified Kneser-Ney in dictionaries: slow, obvious, and what `ngram.py` must agree with."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

Gram = tuple[int, ...]


class KneserNeyReference:
    """The model of `ngram.KneserNey`, written down as its definition reads."""

    def __init__(self, *, order: int, vocab_size: int, end_of_text_id: int) -> None:
        self.order = order
        self.vocab_size = vocab_size
        self.end_of_text_id = end_of_text_id
        self.counts: dict[int, dict[Gram, int]] = {}

    def fit(self, documents: Sequence[Sequence[int]]) -> KneserNeyReference:
        """Count every n-gram that ends in a predicted token."""
        raw: dict[int, Counter[Gram]] = {k: Counter() for k in range(1, self.order + 1)}
        left: dict[Gram, set[int]] = defaultdict(set)
        for document in documents:
            words = [self.end_of_text_id, *document, self.end_of_text_id]
            for end in range(1, len(words)):
                for k in range(1, self.order + 1):
                    start = end - k + 1
                    if start < 0:
                        break
                    gram = tuple(words[start : end + 1])
                    raw[k][gram] += 1
                    if start > 0:
                        left[gram].add(words[start - 1])
        self.counts = {}
        for k in range(1, self.order + 1):
            highest = k == self.order
            self.counts[k] = {
                gram: count if highest or gram not in left else len(left[gram])
                for gram, count in raw[k].items()
            }
        return self

    def discounts(self, k: int) -> tuple[float, float, float]:
        """D1, D2, D3+ of order `k`."""
        n = Counter(self.counts[k].values())
        if n[1] == 0 or n[2] == 0:
            return (0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        if n[3] == 0:
            return (y, y, y)
        d1 = 1 - 2 * y * n[2] / n[1]
        d2 = 2 - 3 * y * n[3] / n[2]
        d3 = 3 - 4 * y * n[4] / n[3]
        if 0 < d1 <= 1 and 0 < d2 <= 2 and 0 < d3 <= 3:
            return (d1, d2, d3)
        return (y, y, y)

    def probability(self, word: int, history: Gram) -> float:
        """p(word | history), the history shortened to the order and beginning with the mark."""
        return self._probability(word, history[max(0, len(history) - self.order + 1) :])

    def _probability(self, word: int, history: Gram) -> float:
        k = len(history) + 1
        lower = self._probability(word, history[1:]) if history else 1 / self.vocab_size
        followers = [count for gram, count in self.counts[k].items() if gram[:-1] == history]
        if not followers:
            return lower
        discounts = self.discounts(k)
        total = sum(followers)
        freed = sum(discounts[min(count, 3) - 1] for count in followers)
        count = self.counts[k].get((*history, word), 0)
        kept = count - discounts[min(count, 3) - 1] if count else 0.0
        return kept / total + freed / total * lower

    def document_nats(self, document: Sequence[int]) -> float:
        """Nats of one document and its end mark."""
        words = [self.end_of_text_id, *document, self.end_of_text_id]
        return -sum(
            math.log(self.probability(words[end], tuple(words[:end])))
            for end in range(1, len(words))
        )
