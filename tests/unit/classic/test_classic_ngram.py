"""The n-gram table against its definition in dictionaries, and as a distribution."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homespun.classic import KneserNey, Unigram
from homespun.classic.ngram import modified_discounts
from homespun.classic.ngram_reference import KneserNeyReference
from homespun.core import ConfigError, DataError

VOCAB = 7
END = 0


def documents(seed: int, num: int, length: int, vocab: int = VOCAB) -> list[np.ndarray]:
    """Text with a skewed vocabulary and repeated phrases, so that all orders have something."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocab)
    texts = [
        random.choice(
            np.arange(1, vocab), size=random.integers(0, length), p=weights / weights.sum()
        )
        for _ in range(num)
    ]
    return [*texts, *texts[: num // 3]]


def both(order: int, texts: list, vocab: int = VOCAB) -> tuple[KneserNey, KneserNeyReference]:
    fast = KneserNey(order=order, vocab_size=vocab, end_of_text_id=END).fit(texts)
    slow = KneserNeyReference(order=order, vocab_size=vocab, end_of_text_id=END)
    return fast, slow.fit([[int(word) for word in text] for text in texts])


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_the_fast_table_agrees_with_the_obvious_one(order: int) -> None:
    fast, slow = both(order, documents(1, 30, 20))
    held_out = documents(2, 12, 20)
    expected = [slow.document_nats([int(word) for word in text]) for text in held_out]
    np.testing.assert_allclose(fast.document_nats(held_out), expected, rtol=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    texts=st.lists(st.lists(st.integers(0, 4), max_size=8), min_size=1, max_size=6),
    held_out=st.lists(st.integers(0, 5), max_size=8),
    order=st.integers(1, 5),
)
@example(texts=[[]], held_out=[0], order=3)  # an order without a single n-gram
def test_they_agree_on_any_documents(
    texts: list[list[int]], held_out: list[int], order: int
) -> None:
    """Also on ones that hold the end mark's own id, are empty, or are all alike."""
    fast, slow = both(order, [np.array(text, dtype=np.int64) for text in texts])
    assert fast.num_ngrams == tuple(len(slow.counts[k]) for k in range(1, order + 1))
    nats = fast.document_nats([np.array(held_out, dtype=np.int64)])
    assert nats[0] == pytest.approx(slow.document_nats(held_out), abs=1e-9)


@pytest.mark.parametrize("history", [[], [1], [2, 1], [6, 6, 6], [1, 2, 3, 1, 2, 3, 1], [5, 1, 1]])
def test_probabilities_sum_to_one_after_any_history(history: list[int]) -> None:
    table, slow = both(5, documents(3, 30, 20))
    p_V = table.next_probabilities(history)
    assert p_V.sum() == pytest.approx(1.0, abs=1e-12)
    assert (p_V > 0).all()
    for word in range(VOCAB):
        expected = slow.probability(word, (END, *history))
        assert p_V[word] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    texts=st.lists(st.lists(st.integers(1, 5), max_size=6), min_size=1, max_size=5),
    history=st.lists(st.integers(0, 6), max_size=6),
    order=st.integers(1, 4),
)
def test_it_is_a_distribution_whatever_was_counted(
    texts: list[list[int]], history: list[int], order: int
) -> None:
    table = KneserNey(order=order, vocab_size=VOCAB, end_of_text_id=END)
    p_V = table.fit([np.array(text, dtype=np.int64) for text in texts]).next_probabilities(history)
    assert p_V.sum() == pytest.approx(1.0, abs=1e-12)
    assert (p_V > 0).all()


def test_token_scores_are_the_logs_of_the_distribution() -> None:
    table, _ = both(4, documents(4, 20, 15))
    text = [3, 1, 1, 2, 6]
    nats = table.token_nats(np.array(text))
    for place, word in enumerate([*text, END]):
        assert nats[place] == pytest.approx(-math.log(table.next_probabilities(text[:place])[word]))


def test_documents_are_scored_alone_and_in_order() -> None:
    table, _ = both(3, documents(5, 20, 15))
    texts = documents(6, 9, 15)
    together = table.document_nats(texts)
    alone = [table.score_ids([text]) for text in texts]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    np.testing.assert_allclose(table.document_nats(texts[::-1]), together[::-1], rtol=1e-12)


def test_pieces_of_the_scoring_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = both(3, documents(5, 20, 15))
    texts = documents(6, 9, 15)
    whole = table.document_nats(texts)
    monkeypatch.setattr("homespun.classic.ngram._TOKENS_AT_ONCE", 10)
    np.testing.assert_allclose(table.document_nats(texts), whole, rtol=1e-12)


def test_large_vocabularies_have_exact_keys() -> None:
    vocab = 1 << 20
    texts = [np.random.default_rng(0).integers(1, vocab, size=300) for _ in range(4)]
    fast, slow = both(4, texts, vocab)
    held_out = np.concatenate([texts[0][:5], texts[1][3:9], texts[2][:2]])
    expected = slow.document_nats([int(word) for word in held_out])
    assert fast.score_ids([held_out]) == pytest.approx(expected, rel=1e-9)


def test_higher_orders_predict_regular_text_better() -> None:
    texts = [np.array([1, 2, 3, 4, 5, 6] * 20)] * 3 + [np.array([2, 1, 4, 3, 6, 5] * 20)] * 3
    scores = [
        KneserNey(order=order, vocab_size=VOCAB, end_of_text_id=END).fit(texts).score_ids(texts)
        for order in (1, 2, 3)
    ]
    assert scores[0] > scores[1] > scores[2]


def test_a_unigram_knows_frequencies_and_leaves_room_for_the_unseen() -> None:
    table = Unigram(vocab_size=4, end_of_text_id=END).fit([np.array([1, 1, 1, 2])])
    p_V = table.next_probabilities([])
    assert p_V[1] > p_V[2] > p_V[3] > 0
    np.testing.assert_allclose(table.next_probabilities([2, 1]), p_V)


def test_discounts_follow_chen_and_goodman() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 3])
    y = 40 / (40 + 2 * 15)
    expected = (1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8)
    assert modified_discounts(counts) == pytest.approx(expected)


@pytest.mark.parametrize(
    "counts", [[], [1], [2, 2], [1, 2], [1] * 9 + [2], [1, 2, 2, 2, 3], [1, 1, 2, 3, 3, 3, 4, 4, 4]]
)
def test_discounts_stay_admissible_where_counts_are_few(counts: list[int]) -> None:
    discounts = modified_discounts(np.array(counts, dtype=np.int64))
    assert all(0 < d <= most for d, most in zip(discounts, (1, 2, 3), strict=True))


def test_sampling_repeats_with_its_seed_and_ends_at_the_mark() -> None:
    table, _ = both(3, documents(7, 30, 12))
    first = table.generate(max_tokens=40, seed=3)
    assert first == table.generate(max_tokens=40, seed=3)
    assert END not in first
    assert any(table.generate(max_tokens=40, seed=seed) != first for seed in range(5))
    only_ends = KneserNey(order=2, vocab_size=2, end_of_text_id=END).fit([np.array([1])] * 50)
    assert len(only_ends.generate(max_tokens=1000, seed=0)) < 1000


def test_no_documents_to_score_is_no_nats() -> None:
    table, _ = both(2, documents(8, 5, 5))
    assert table.document_nats([]).shape == (0,)
    assert table.score_ids([]) == 0.0


def test_mistakes_are_told_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="1 to 16"):
        KneserNey(order=0, vocab_size=5, end_of_text_id=0)
    with pytest.raises(ConfigError, match="end-of-text"):
        KneserNey(order=2, vocab_size=5, end_of_text_id=5)
    table = KneserNey(order=2, vocab_size=5, end_of_text_id=0)
    with pytest.raises(DataError, match="call fit"):
        table.score_ids([np.array([1])])
    with pytest.raises(DataError, match="no text"):
        table.fit([])
    with pytest.raises(DataError, match="outside the vocabulary of 5"):
        table.fit([np.array([5])])
    table.fit([np.array([1])])
    with pytest.raises(DataError, match="outside the vocabulary"):
        table.next_probabilities([9])


def test_ngrams_whose_mass_is_all_taken_count_as_ngrams() -> None:
    text = np.array([1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7])
    table = Unigram(vocab_size=16, end_of_text_id=END).fit([text])
    # Nothing occurs four times, so D3 is 3, and of what occurs three times nothing is left.
    assert modified_discounts(np.bincount(text)[1:])[2] == 3.0
    assert table.tables()[0][1][7] == 0.0
    assert table.num_ngrams == (8,)
