"""The sentence model against its definition in dictionaries, and as its users meet it."""

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homespun.classic import KneserNey
from homespun.classic.kneser_ney import KneserNeyModel, Smoothing, words_and_marks
from homespun.classic.kneser_ney.count import Packing
from homespun.classic.kneser_ney.reference import SentencesReference
from homespun.core import ConfigError, DataError, perplexity_of

WORDS = ["a", "b", "c", "dog", "中", "文", "红楼", "。"]
ENGLISH = ["The dog sleeps.", "The dog barks!", "A cat sleeps.", "The cat sees the dog."] * 2
CHINESE = ["红楼梦是小说。", "红楼梦好看。", "小说好看。", "我看小说。"] * 2


def sentences(seed: int, num: int, longest: int, words: list[str] = WORDS) -> list[list[str]]:
    """Skewed words and repeated sentences, so that all orders have something."""
    rng = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(words))]
    texts = [rng.choices(words, weights, k=rng.randrange(longest)) for _ in range(num)]
    return texts + texts[: num // 3]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "smoothing",
    [
        Smoothing(),
        Smoothing("absolute"),
        Smoothing("absolute", 0.3),
        Smoothing("absolute", 0.3, interpolate_unigrams=False),
        Smoothing(interpolate_unigrams=False),
    ],
    ids=["modified", "absolute", "absolute 0.3", "as nltk", "plain unigrams"],
)
def test_the_model_agrees_with_its_definition(order: int, smoothing: Smoothing) -> None:
    text = sentences(1, 30, 10)
    fast = KneserNeyModel(order=order, **smoothing._asdict()).fit(text, chunk_tokens=23)
    slow = SentencesReference(order=order, smoothing=smoothing).fit(text)
    for held_out in sentences(2, 9, 10, [*WORDS, "never"]):
        places = [*held_out, "</s>"]
        expected = [slow.probability(word, held_out[:at]) for at, word in enumerate(places)]
        np.testing.assert_allclose(np.exp(fast.token_log_probs(held_out)), expected, atol=1e-7)


small_texts = st.lists(st.lists(st.sampled_from("ab中"), max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    text=small_texts, held_out=st.lists(st.sampled_from("ab中x"), max_size=7), k=st.integers(1, 5)
)
@example(text=[[]], held_out=["x"], k=3)  # an order without a single n-gram
def test_they_agree_on_any_text(text: list[list[str]], held_out: list[str], k: int) -> None:
    fast = KneserNeyModel(order=k).fit(text)
    slow = SentencesReference(order=k).fit(text)
    p_V = fast.next_probabilities(held_out)
    expected = [0.0 if w == "<s>" else slow.probability(w, held_out) for w in fast.vocabulary.words]
    np.testing.assert_allclose(p_V, expected, atol=1e-6)
    assert p_V.sum() == pytest.approx(1.0, abs=1e-6)


def test_it_is_the_table_of_ids_but_for_the_marks() -> None:
    """One mark at both ends makes no difference where it is predicted only at the end."""
    text = sentences(3, 40, 12)
    model = KneserNeyModel(order=4).fit(text)
    vocab = len(model.vocabulary) - 1  # <s> and </s> are one
    ids = [np.array(model.vocabulary.encode(words), dtype=np.int64) for words in text]
    ids = [np.where(document > 0, document - 1, 0) for document in ids]
    table = KneserNey(order=4, vocab_size=vocab, end_of_text_id=1).fit(ids)
    np.testing.assert_allclose(model.log_probs(text), -table.document_nats(ids), rtol=1e-5)


@pytest.mark.parametrize("kernels", ["auto", "numpy"])
def test_chunks_do_not_change_the_model(kernels: str) -> None:
    text = sentences(4, 50, 12)
    whole = KneserNeyModel(order=4, kernels=kernels).fit(text)
    expected = whole.log_probs(text)
    for chunk_tokens in (1, 3, 50, 1000):
        model = KneserNeyModel(order=4, kernels=kernels).fit(text, chunk_tokens=chunk_tokens)
        assert model.num_ngrams == whole.num_ngrams
        np.testing.assert_array_equal(model.log_probs(text), expected)


def test_long_windows_of_large_vocabularies_are_exact() -> None:
    """Of more than one 64-bit word."""
    words = [f"w{number}" for number in range(1500)]
    text = sentences(5, 60, 40, words)
    fast = KneserNeyModel(order=8).fit(text, chunk_tokens=200)
    assert Packing.of(8, len(fast.vocabulary)).num_words == 2
    slow = SentencesReference(order=8).fit(text)
    for held_out in text[:3]:
        expected = [slow.probability(w, held_out[:at]) for at, w in enumerate([*held_out, "</s>"])]
        np.testing.assert_allclose(np.exp(fast.token_log_probs(held_out)), expected, atol=1e-7)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_strings_are_taken_apart(text: list[str]) -> None:
    model = KneserNeyModel(order=3).fit(iter(text))
    assert model.log_prob(text[0]) > model.log_prob(text[0][::-1])
    units = words_and_marks(text[0])
    assert model.log_prob(text[0]) == model.log_prob(units)
    assert len(model.token_log_probs(text[0])) == len(units) + 1
    assert set(model.sample(np.random.default_rng(0))) <= set(words_and_marks(" ".join(text)))


def test_chinese_words_come_from_a_segmenter_of_ones_own() -> None:
    model = KneserNeyModel(order=2, split=str.split).fit(["红楼梦 是 小说", "红楼梦 好看"])
    assert "红楼梦" in model.vocabulary
    assert "红" not in model.vocabulary


def test_the_perplexity_of_text_that_cannot_be_is_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = KneserNeyModel(order=1).fit([["a"]])
    scores = np.array([-math.inf])
    monkeypatch.setattr(KneserNeyModel, "_scored", lambda *_: [(np.array([9]), scores)])
    assert model.perplexity([["a"]]) == perplexity_of(math.inf) < math.inf


def test_perplexity_is_that_of_all_tokens_with_their_ends() -> None:
    text = sentences(6, 40, 9)
    model = KneserNeyModel(order=3).fit(text)
    num_tokens = sum(len(words) + 1 for words in text)
    total = sum(model.log_prob(words) for words in text)
    assert model.perplexity(iter(text)) == pytest.approx(math.exp(-total / num_tokens))
    np.testing.assert_allclose(model.log_probs(text), [model.log_prob(words) for words in text])
    worse = KneserNeyModel(order=1).fit(text)
    assert worse.perplexity(text) > model.perplexity(text) > 1


def test_no_mass_for_the_unseen_is_an_infinite_price() -> None:
    model = KneserNeyModel(order=2, interpolate_unigrams=False).fit([["a"], ["a", "b"], ["b"]])
    assert model.log_prob(["never"]) < -200
    assert model.next_probabilities(["a"])[0] == pytest.approx(0.0, abs=1e-12)
    assert model.next_probabilities(["a"]).sum() == pytest.approx(1.0, abs=1e-6)


def test_rare_words_are_unknown() -> None:
    text = [["a", "b"], ["a", "c"], ["a", "b", "中"]]
    by_count = KneserNeyModel(order=2, min_count=2).fit(text)
    assert by_count.vocabulary.words == ("<unk>", "<s>", "</s>", "a", "b")
    assert by_count.log_prob(["a", "c"]) == by_count.log_prob(["a", "other"])
    # The most frequent, wherever they first stand; equals by their code points.
    by_size = KneserNeyModel(order=2, max_words=3).fit([["中", "d"], ["c", "b", "b"], ["a", "a"]])
    assert by_size.vocabulary.words[3:] == ("a", "b", "c")
    # What it was shown as <unk> it expects again.
    unseen = KneserNeyModel(order=2).fit(text)
    assert by_count.log_prob(["a", "c"]) > unseen.log_prob(["a", "other"])


def test_marks_in_the_text_end_no_sentence() -> None:
    text = [["a", "</s>", "<s>", "b"], ["a", "b"], ["<unk>"]]
    model = KneserNeyModel(order=3).fit(text)
    assert model.vocabulary.words[3:] == ("a", "b")
    assert model.vocabulary.encode(["</s>", "<s>", "<unk>", "a"]) == [0, 0, 0, 3]
    assert model.log_prob(text[0]) == model.log_prob(["a", "x", "y", "b"])
    assert "</s>" not in model.vocabulary


def test_samples_repeat_with_their_generator_and_follow_the_model() -> None:
    text = [["a", "b"]] * 30 + [["a", "c"]] * 10 + [["x"]]
    model = KneserNeyModel(order=3, min_count=2).fit(text)
    first = [model.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert first == [model.sample(np.random.default_rng(seed)) for seed in range(200)]
    share_b = sum(words[:2] == ["a", "b"] for words in first) / 200
    share_c = sum(words[:2] == ["a", "c"] for words in first) / 200
    assert 0.55 < share_b < 0.85
    assert 0.1 < share_c < 0.35
    assert not any("<unk>" in words or "<s>" in words for words in first)
    assert len(model.sample(np.random.default_rng(0), max_words=1)) <= 1
    after = [model.sample(np.random.default_rng(seed), prompt=["a"]) for seed in range(50)]
    assert all(not words or words[0] in "abc" for words in after)


def test_mistakes_are_told_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="1 to 16"):
        KneserNeyModel(order=17)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        KneserNeyModel(discounts="absolute", discount=1.5)
    with pytest.raises(ConfigError, match="estimated"):
        KneserNeyModel(discount=0.5)
    with pytest.raises(ConfigError, match="modified or absolute"):
        KneserNeyModel(discounts="witten-bell")
    with pytest.raises(ConfigError, match="1 or more"):
        KneserNeyModel(min_count=0).fit([["a"]])
    with pytest.raises(ConfigError, match="auto, numpy or native"):
        KneserNeyModel(kernels="fast")
    model = KneserNeyModel(order=2)
    for call in (lambda: model.log_prob("a"), lambda: model.next_probabilities()):
        with pytest.raises(DataError, match="call fit"):
            call()
    with pytest.raises(DataError, match="no text to count"):
        model.fit([])
    with pytest.raises(DataError, match="no text to score"):
        model.fit([["a"]]).perplexity([])
    with pytest.raises(DataError, match="outside the vocabulary of 4"):
        model.stream_log_probs(np.array([1, 3, 4, 2], dtype=np.int32))
    assert model.stream_log_probs(np.zeros(0, dtype=np.int32)).shape == (0,)
