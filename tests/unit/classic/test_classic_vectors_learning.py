"""The compiled loops against their slow twins; what word2vec and GloVe find."""

import itertools
from typing import Any

import numpy as np
import pytest

from homespun.classic.vectors import (
    GloVe,
    Word2Vec,
    WordVectors,
    count_cooccurrences,
    encode_sentences,
)
from homespun.classic.vectors.cooccurrence import count_cooccurrences_reference
from homespun.classic.vectors.draws import (
    SplitMix64,
    alias_table,
    keep_limits,
    random_bits,
    random_weights,
)
from homespun.classic.vectors.glove import usual_subsample
from homespun.classic.vectors.native import in_threads, load_library
from homespun.classic.vectors.vocabulary import thin_text
from homespun.classic.vectors.word2vec_reference import _sigmoid, sigmoid_table
from homespun.core import ConfigError, DataError

try:
    load_library("native")
    NO_COMPILER = ""
except ConfigError as error:
    NO_COMPILER = str(error)
compiled = pytest.mark.skipif(bool(NO_COMPILER), reason=NO_COMPILER or "compiled")


def skewed_sentences(seed: int = 0, num: int = 50) -> list[list[str]]:
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 30, size=num)
    return [[f"词{min(int(x), 40)}" for x in random.zipf(1.4, size=n)] for n in lengths]


TOPICS = ("apple pear plum fig", "red blue green grey", "猫 狗 马 牛", "run walk jump swim")


def topic_sentences(num: int = 1500) -> list[list[str]]:
    """Each sentence keeps to one of four topics."""
    random = np.random.default_rng(1)
    topics = [topic.split() for topic in TOPICS]
    return [random.choice(topics[random.integers(4)], size=8).tolist() for _ in range(num)]


def share_of_neighbours_of_the_same_topic(vectors: WordVectors) -> float:
    good = [
        near in topic.split()
        for topic in TOPICS
        for word in topic.split()
        for near, _ in vectors.nearest(word, 3)
    ]
    return float(np.mean(good))


def test_random_numbers_are_splitmix64() -> None:
    one = SplitMix64(1234567)
    assert [one.next() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    slow = SplitMix64(99)
    assert random_bits(99, 50).tolist() == [slow.next() for _ in range(50)]
    weights = random_weights(3, 200, 8)
    assert weights.dtype == np.float32
    assert weights.min() >= -1 / 16
    assert weights.max() < 1 / 16
    assert abs(float(weights.mean())) < 0.003


def test_alias_table_draws_in_proportion() -> None:
    weights = np.array([5.0, 0.0, 1.0, 2.0, 0.5, 20.0])
    coin, other = alias_table(weights)
    # The chance of each word, from the table itself.
    chance = np.zeros(6)
    for cell in range(6):
        below = coin[cell] / 2**32
        chance[cell] += below / 6
        chance[other[cell]] += (1 - below) / 6
    assert chance == pytest.approx(weights / weights.sum(), abs=1e-9)


def test_sigmoid_table_is_the_sigmoid() -> None:
    table = sigmoid_table()
    for x in np.linspace(-7.99, 7.99, 501, dtype=np.float32):
        assert float(_sigmoid(table, x)) == pytest.approx(1 / (1 + np.exp(-float(x))), abs=4e-6)
    assert _sigmoid(table, np.float32(9)) == 1
    assert _sigmoid(table, np.float32(-9)) == 0


def test_frequent_words_stay_less_often() -> None:
    limits = keep_limits(np.array([90_000.0, 9_990.0, 10.0]), 1e-3) / 2**32
    assert limits[0] == pytest.approx(np.sqrt(1e-3 / 0.9) + 1e-3 / 0.9, abs=1e-6)
    assert limits[2] == pytest.approx(1, abs=1e-6)
    assert (keep_limits(np.array([5.0, 1.0]), 0) == 2**32 - 1).all()


@compiled
@pytest.mark.parametrize("kind", ["skipgram", "cbow"])
@pytest.mark.parametrize("dim", [1, 7, 24])
def test_compiled_word2vec_agrees_with_the_obvious_one(kind: Any, dim: int) -> None:
    fast, slow = (
        Word2Vec(
            dim,
            kind=kind,
            window=3,
            negative=4,
            epochs=2,
            min_count=1,
            subsample=0.05,
            learning_rate=0.2,
            kernels=kernels,
        ).fit(skewed_sentences())
        for kernels in ("native", "reference")
    )
    moved = np.abs(slow.vectors_.vectors_VD).max()
    assert moved > 0.2  # it did learn
    assert fast.vectors_.vectors_VD == pytest.approx(slow.vectors_.vectors_VD, abs=2e-5)
    assert fast.output_VD_ == pytest.approx(slow.output_VD_, abs=2e-5)


@compiled
@pytest.mark.parametrize("dim", [1, 7, 24])
def test_compiled_glove_agrees_with_the_obvious_one(dim: int) -> None:
    fast, slow = (
        GloVe(dim, window=4, x_max=20, epochs=3, min_count=1, kernels=kernels).fit(
            skewed_sentences()
        )
        for kernels in ("native", "reference")
    )
    assert fast.vectors_.vectors_VD == pytest.approx(slow.vectors_.vectors_VD, abs=2e-5)
    assert fast.loss_ == pytest.approx(slow.loss_, rel=1e-5)


@pytest.mark.parametrize("chunk_pairs", [1, 60, 10**6])
def test_counts_are_those_of_the_dictionary(chunk_pairs: int) -> None:
    text = encode_sentences([*skewed_sentences(), ["x"] * 9], min_count=2)
    counts = count_cooccurrences(text, 4, chunk_pairs=chunk_pairs)
    expected = count_cooccurrences_reference(text, 4)
    keys = list(zip(counts.words_K.tolist(), counts.contexts_K.tolist(), strict=True))
    assert keys == sorted(expected)
    assert counts.values_K == pytest.approx([expected[key] for key in keys], rel=1e-6)


def test_thinning_takes_frequent_words_within_their_sentences() -> None:
    text = encode_sentences([["a", "b", "a", "a"], ["c", "a"]] * 500, min_count=1)
    thin = thin_text(text, 0.1, seed=3)
    assert thin_text(text, 0, seed=3).tokens_N.tolist() == text.tokens_N.tolist()
    assert thin.vocabulary is text.vocabulary
    share = np.bincount(thin.tokens_N) / text.vocabulary.counts_V
    expected = keep_limits(text.vocabulary.counts_V.astype(float), 0.1) / 2**32
    assert share == pytest.approx(expected, abs=0.05)
    for start, end in itertools.pairwise(thin.starts_S.tolist()):
        assert not {"b", "c"} <= {thin.vocabulary.words[at] for at in thin.tokens_N[start:end]}


def test_counts_by_hand() -> None:
    text = encode_sentences([["a", "b", "a"], ["b", "c"]], min_count=1)
    counts = count_cooccurrences(text, 2)
    words = text.vocabulary.words
    found = {
        (words[word], words[context]): float(value)
        for word, context, value in zip(*counts, strict=True)
    }
    assert found == {
        ("a", "b"): 2.0,
        ("b", "a"): 2.0,
        ("a", "a"): 1.0,  # half, from both sides
        ("b", "c"): 1.0,
        ("c", "b"): 1.0,
    }


@pytest.mark.parametrize(
    "model",
    [
        Word2Vec(16, window=4, epochs=5, subsample=0, learning_rate=0.1),
        Word2Vec(16, kind="cbow", window=4, epochs=5, subsample=0, learning_rate=0.1),
        GloVe(16, window=4, epochs=100, x_max=10),
    ],
    ids=["skipgram", "cbow", "glove"],
)
@compiled
def test_words_of_one_topic_come_together(model: Any) -> None:
    assert share_of_neighbours_of_the_same_topic(model.fit(topic_sentences()).vectors_) == 1.0


@compiled
@pytest.mark.parametrize("kind", [Word2Vec, GloVe])
def test_one_thread_is_a_function_of_the_seed_and_several_learn_too(kind: Any) -> None:
    text = topic_sentences()
    settings = {"subsample": 0, "learning_rate": 0.1} if kind is Word2Vec else {"epochs": 100}

    def vectors(**more: Any) -> WordVectors:
        fitted = kind(16, window=4, **settings, **more).fit(iter(text)).vectors_
        assert isinstance(fitted, WordVectors)
        return fitted

    first, again, other = vectors(seed=1), vectors(seed=1), vectors(seed=2)
    assert np.array_equal(first.vectors_VD, again.vectors_VD)
    assert not np.allclose(first.vectors_VD, other.vectors_VD)
    assert share_of_neighbours_of_the_same_topic(vectors(num_threads=3)) == 1.0


@compiled
def test_more_threads_than_sentences() -> None:
    model = Word2Vec(4, min_count=1, num_threads=8).fit([["a", "b", "c"] * 5])
    assert len(model.vectors_) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"dim": 0},
        {"window": 0},
        {"negative": 65},
        {"kind": "bag"},
        {"subsample": -1.0},
        {"learning_rate": 0.0},
        {"kernels": "torch"},
        {"min_count": 0},
    ],
)
def test_settings_out_of_range_are_told(settings: Any) -> None:
    with pytest.raises(ConfigError):
        Word2Vec(**settings).fit([["a", "b"] * 9])


@pytest.mark.parametrize(("num", "share"), [(600, 1.0), (60_000, 0.01), (60_000_000, 1e-4)])
def test_a_short_text_keeps_its_words(num: int, share: float) -> None:
    assert usual_subsample(num) == pytest.approx(share)


def test_the_usual_share_of_frequent_words_is_that_of_the_text() -> None:
    sentences = [["the", "cat", "the", "dog"] * 10] * 200
    told = {
        subsample: GloVe(8, epochs=1, subsample=subsample).fit(sentences).vectors_.vectors_VD
        for subsample in (None, usual_subsample(8_000), 0.0)
    }
    assert (told[None] == told[usual_subsample(8_000)]).all()
    assert (told[None] != told[0.0]).any()


def test_what_cannot_be_learned_is_told() -> None:
    with pytest.raises(DataError, match="no word comes 5 times"):
        Word2Vec().fit([["a", "b"]])
    with pytest.raises(DataError, match="no two words stand together"):
        GloVe(min_count=1).fit([["a"], ["b"]])
    with pytest.raises(DataError, match="no two words stand together"):  # none at all is left
        GloVe(min_count=1, subsample=1e-12).fit([["a", "b"] * 9])
    with pytest.raises(ConfigError, match="x_max"):
        GloVe(x_max=0).fit([["a", "b"] * 9])


@compiled
def test_vectors_that_run_away_are_told() -> None:
    with pytest.raises(DataError, match="infinity"):
        Word2Vec(8, learning_rate=1e30, min_count=1).fit(topic_sentences(200))


def test_numbers_of_no_word_are_told_and_not_written_to() -> None:
    text = encode_sentences([["a", "b"] * 9], min_count=1)
    counts = count_cooccurrences(text, 2)
    fewer = text.vocabulary.__class__(["a"], [9])
    with pytest.raises(DataError, match="outside the vocabulary of 1"):
        Word2Vec(4).fit_encoded(text._replace(vocabulary=fewer))
    for wrong in (
        counts._replace(words_K=counts.words_K + 1),
        counts._replace(contexts_K=counts.contexts_K - 1),
    ):
        with pytest.raises(DataError, match="outside the vocabulary of 2"):
            GloVe(4).fit_counts(text.vocabulary, wrong)
    with pytest.raises(DataError, match="not above 0"):
        GloVe(4).fit_counts(text.vocabulary, counts._replace(values_K=counts.values_K * 0))


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_goes_wrong_in_one_thread_goes_wrong(num_threads: int) -> None:
    ended = []

    def work(number: int) -> None:
        if number == 0:
            raise MemoryError("no memory")
        ended.append(number)

    with pytest.raises(MemoryError, match="no memory"):
        in_threads(work, num_threads)
    assert sorted(ended) == list(range(1, num_threads))
