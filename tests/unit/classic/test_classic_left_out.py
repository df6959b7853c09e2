"""Tables that leave out a block are those of the rest of the text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from homespun.classic import KneserNey, count_left_out
from homespun.classic.ngram import modified_discounts
from homespun.core import ConfigError, DataError, TextBlocks

V, END = 9, 8


def stream_of(documents: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part for d in documents for part in ([END], d)] + [[END]])


def documents(seed: int, sizes: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 4, size) for size in sizes]


def as_dictionaries(orders, row: int, order: int) -> list[dict[tuple[int, ...], float]]:
    """The mass of each n-gram that has one, by its tokens."""
    names: list[tuple[int, ...]] = [()]
    found = []
    for k in range(order):
        keys, mass = orders[k][0], orders[k][1][row]
        names = [(*names[key // V], int(key % V)) for key in keys]
        found.append({name: float(m) for name, m in zip(names, mass, strict=True) if m > 0})
    return found


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_whole_is_the_ordinary_table(order):
    texts = documents(0, (40, 1, 33, 7))
    orders = count_left_out(
        stream_of(texts), order=order, vocab_size=V, end_of_text_id=END, blocks=None
    )
    table = KneserNey(order=order, vocab_size=V, end_of_text_id=END).fit(texts)
    for own, (keys, mass, backoff) in zip(orders, table.tables(), strict=True):
        assert np.array_equal(own.keys_M, keys)
        assert own.mass_XM[-1] == pytest.approx(mass, abs=1e-6)
        assert own.backoff_XP[-1] == pytest.approx(backoff, abs=1e-6)


def obvious(
    tokens: np.ndarray, *, order: int, left_out: set[int]
) -> list[dict[tuple[int, ...], float]]:
    """The masses of a table without the n-grams that end in `left_out`, by the definition."""
    raw: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
    for end in range(1, len(tokens)):
        if end in left_out:
            continue
        for k in range(1, order + 1):
            gram = tuple(int(t) for t in tokens[end - k + 1 : end + 1])
            if end - k + 1 >= 0 and END not in gram[1:-1] and (k == 1 or len(gram) == k):
                raw[k - 1][gram] += 1
    found = []
    for k in range(1, order + 1):
        counts = dict(raw[k - 1])
        if k < order:
            left = Counter(gram[1:] for gram in raw[k])
            counts = {gram: left[gram] or count for gram, count in counts.items()}
        discounts = modified_discounts(np.array(list(counts.values())))
        totals: Counter[tuple[int, ...]] = Counter()
        for gram, count in counts.items():
            totals[gram[:-1]] += count
        found.append(
            {
                gram: (count - discounts[min(count, 3) - 1]) / totals[gram[:-1]]
                for gram, count in counts.items()
                if count > discounts[min(count, 3) - 1]
            }
        )
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("num_blocks", [2, 3, 7])
def test_without_a_block_it_is_the_table_of_the_others(order, num_blocks):
    tokens = stream_of(documents(1, (39, 19, 20, 1, 38, 59)))
    blocks = TextBlocks(tokens, end_of_text_id=END, num_blocks=num_blocks)
    orders = count_left_out(tokens, order=order, vocab_size=V, end_of_text_id=END, blocks=blocks)
    block_at = blocks.at(np.arange(len(tokens)))
    for block in range(num_blocks):
        left_out = set(np.flatnonzero(block_at == block).tolist())
        expected = obvious(tokens, order=order, left_out=left_out)
        got = as_dictionaries(orders, block, order)
        for mine, theirs in zip(got, expected, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-6)


def test_a_text_without_marks_and_wrong_input():
    text = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    blocks = TextBlocks(text, end_of_text_id=None, num_blocks=2)
    orders = count_left_out(text, order=2, vocab_size=V, end_of_text_id=END, blocks=blocks)
    # The second half is counted: 0 before 1 once (its first token's history is in the first half).
    names = as_dictionaries(orders, 0, 2)[1]
    assert set(names) == {(0, 1), (1, 2), (2, 0)}
    with pytest.raises(DataError, match="vocabulary"):
        count_left_out(text + 8, order=2, vocab_size=V, end_of_text_id=END, blocks=None)
    with pytest.raises(DataError, match="no text"):
        count_left_out(text[:0], order=2, vocab_size=V, end_of_text_id=END, blocks=None)
    with pytest.raises(ConfigError, match="order"):
        count_left_out(text, order=0, vocab_size=V, end_of_text_id=END, blocks=None)


def test_long_n_grams_that_occur_once_leave_their_probability_to_shorter_histories():
    tokens = stream_of(documents(2, (60, 50, 70)))
    asked = {"order": 4, "vocab_size": V, "end_of_text_id": END, "blocks": None}
    every = as_dictionaries(count_left_out(tokens, **asked), 0, 4)
    kept = count_left_out(tokens, keep_all_to=2, **asked)
    few = as_dictionaries(kept, 0, 4)
    times = Counter(
        tuple(tokens[end - k + 1 : end + 1].tolist())
        for k in (3, 4)
        for end in range(k - 1, len(tokens))
    )
    assert few[:2] == every[:2]
    for all_of_order, some in zip(every[2:], few[2:], strict=True):
        assert some == {n: m for n, m in all_of_order.items() if times[n] > 1}
        assert 0 < len(some) < len(all_of_order)
    # Each history's probabilities sum to one as before: mass and backoff of a prefix are 1.
    for order in kept[1:]:
        totals = np.bincount(
            order.keys_M // V, weights=order.mass_XM[0], minlength=len(order.backoff_XP[0])
        )
        assert totals + order.backoff_XP[0] == pytest.approx(np.ones(len(totals)), abs=1e-6)
