"""Questions with options: asked of models whose answers are known."""

from collections.abc import Sequence
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from homespun.core import DataError, LanguageModel, Score, Tokenizer
from homespun.evaluation.bits_per_byte import DecoderLanguageModel, ScoredDecoder
from homespun.evaluation.likelihood import (
    ContinuationModel,
    LastWord,
    MultipleChoice,
    score_choices,
    score_last_words,
)
from homespun.evaluation.likelihood.scoring import credit, option_nats
from homespun.evaluation.metrics import paired_bootstrap


class Table:
    """A core.LanguageModel of given nats a document; what it does not know costs 10."""

    name = "table"

    def __init__(self, nats: dict[str, float]) -> None:
        self.nats = nats
        self.asked: list[str] = []

    def score(self, texts: Sequence[str]) -> Score:
        self.asked += texts
        return Score(sum(self.nats.get(text, 10.0) for text in texts), 1, 1)


class Continuations(Table):
    def score_continuations(
        self, contexts: Sequence[str], continuations: Sequence[str]
    ) -> NDArray[np.float64]:
        pairs = zip(contexts, continuations, strict=True)
        return np.array([self.nats[f"{context}|{option}"] for context, option in pairs])


QUESTION = MultipleChoice(("天是",), ("蓝", "很长的"), gold=0, group="zh")


def test_sums_and_bytes_choose_differently() -> None:
    # given the context 4 and 9 nats; 4/3 and 9/9 a byte
    model = Table({"天是": 2.0, "天是蓝": 6.0, "天是很长的": 11.0})
    result = score_choices(model, [QUESTION])
    assert (result.summed.value, result.per_byte.value, result.chance) == (1.0, 0.0, 0.5)
    assert model.asked.count("天是") == 1  # a shared context once


def test_a_model_of_continuations_is_asked_for_them() -> None:
    model = Continuations({"天是|蓝": 3.0, "天是|很长的": 2.0})
    assert isinstance(model, ContinuationModel)
    assert score_choices(model, [QUESTION]).summed.value == 0.0
    assert not model.asked


def test_many_options_are_asked_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model keeps of them, for an encoder a row a token, must not grow with the set."""
    sizes = []

    class Counting(Continuations):
        def score_continuations(
            self, contexts: Sequence[str], continuations: Sequence[str]
        ) -> NDArray[np.float64]:
            sizes.append(len(contexts))
            return super().score_continuations(contexts, continuations)

    monkeypatch.setattr("homespun.evaluation.likelihood.scoring._AT_ONCE", 3)
    pairs = [("q", str(number)) for number in range(7)]
    nats = option_nats(Counting({f"q|{number}": number / 2 for number in range(7)}), pairs)
    assert nats.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert sizes == [3, 3, 1]


def test_contexts_of_their_own_are_taken_off() -> None:
    question = MultipleChoice(("Ann", "Bob the great"), (" ran", " ran"), gold=1)
    model = Table({"Ann": 1.0, "Ann ran": 4.0, "Bob the great": 9.0, "Bob the great ran": 11.0})
    assert option_nats(model, question.pairs) == pytest.approx([3.0, 2.0])
    assert score_choices(model, [question]).summed.value == 1.0


def test_ties_are_shared() -> None:
    assert credit(np.array([2.0, 2.0 + 1e-12]), 0) == 0.5
    assert credit(np.array([2.0, 2.0, 3.0]), 2) == 0.0
    assert credit(np.array([1.0, 1.0, 1.0, 1.0]), 3) == 0.25
    questions = [MultipleChoice(("",), ("good one", "bad one"), 0), *[QUESTION] * 3]
    result = score_choices(Table({}), questions)
    assert result.summed.value == result.chance == 0.5


def test_groups_intervals_and_comparison() -> None:
    pairs = [MultipleChoice(("",), (f"good {i}", f"bad {i}"), 0, "ab"[i % 2]) for i in range(40)]
    knows = Table({f"good {i}": 1.0 for i in range(0, 40, 2)})
    knows.nats |= {f"bad {i}": 2.0 for i in range(1, 40, 2)}
    result = score_choices(knows, pairs)
    assert [(one.name, one.summed.value) for one in result.groups] == [("a", 1.0), ("b", 0.0)]
    four = MultipleChoice(("",), ("p", "q", "r", "s"), 0, "four")
    chances = {one.name: one.chance for one in score_choices(knows, [*pairs, four]).groups}
    assert chances == {"a": 0.5, "b": 0.5, "four": 0.25}
    assert result.summed.low is not None
    assert result.summed.low < 0.5 < (result.summed.high or 0)
    assert result.summed.signature == "by:sum|ties:shared"
    all_right = score_choices(Table({f"good {i}": 1.0 for i in range(40)}), pairs)
    found = paired_bootstrap(
        all_right.summed_statistics, result.summed_statistics, np.random.default_rng(0)
    )
    assert found.difference == 0.5
    assert found.p_value < 0.01


def test_a_decoder_scores_continuations_as_it_scores_documents(
    tiny_decoder: ScoredDecoder, byte_tokenizer: Tokenizer
) -> None:
    model = DecoderLanguageModel("tiny", tiny_decoder, byte_tokenizer)
    assert isinstance(model, LanguageModel)
    assert isinstance(model, ContinuationModel)
    contexts, options = ["ab", "天", "", "abc"], [" c", "地玄黄", "whole text", "d"]
    nats = model.score_continuations(contexts, options)
    assert nats[2] == pytest.approx(model.score(["whole text"]).nats, rel=1e-5)
    # P(c d | ab) = P(c | ab) P(d | abc): text cut at another place costs the same
    chained = model.score_continuations(["ab", "abc"], ["c", "d"])
    whole = model.score_continuations(["ab"], ["cd"])[0]
    assert chained.sum() == pytest.approx(whole, rel=1e-5)
    assert chained[1] == pytest.approx(nats[3], rel=1e-5)
    # over all bytes and the end mark probabilities sum to 1
    every = [chr(i) for i in range(128)]
    total = np.exp(-model.score_continuations(["ab"] * 128, every)).sum()
    assert 0 < total < 1


class Joining:
    """A tokenizer that makes one token of "ab"."""

    def __init__(self, inner: Tokenizer) -> None:
        self.inner = inner
        self.end_of_text_id = inner.end_of_text_id
        self.start_ids = inner.start_ids

    def encode(self, text: str) -> NDArray[np.uint32]:
        return self.inner.encode(text.replace("ab", "Z"))

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]


def test_tokens_that_join_over_the_border_are_encoded_apart(
    tiny_decoder: ScoredDecoder, byte_tokenizer: Tokenizer
) -> None:
    plain = DecoderLanguageModel("plain", tiny_decoder, byte_tokenizer)
    joining = DecoderLanguageModel("joining", tiny_decoder, Joining(byte_tokenizer))  # type: ignore[arg-type]
    cases = (["xa"], ["b"]), (["x"], ["b"])
    for case in cases:
        assert joining.score_continuations(*case) == pytest.approx(plain.score_continuations(*case))


def test_what_cannot_be_asked_is_told() -> None:
    with pytest.raises(DataError, match="two or more options"):
        MultipleChoice(("",), ("a",), 0)
    with pytest.raises(DataError, match="two or more options"):
        MultipleChoice(("",), ("a", ""), 0)
    with pytest.raises(DataError, match="one context"):
        MultipleChoice(("x", "y", "z"), ("a", "b"), 0)
    with pytest.raises(DataError, match="must be 0 … 1"):
        MultipleChoice(("",), ("a", "b"), 2)
    with pytest.raises(DataError, match="no questions"):
        score_choices(Table({}), [])
    with pytest.raises(DataError, match="finite"):
        score_choices(Table({"天是蓝": -log(1e-300) * float("inf")}), [QUESTION])


def test_last_words_by_hand() -> None:
    passages = [LastWord("A rose is a", " rose"), LastWord("x y", " z")]
    model = Continuations({"A rose is a| rose": log(4), "x y| z": 0.0})
    found = score_last_words(model, passages)
    assert (found.accuracy, found.perplexity) == (None, pytest.approx(2.0))
    assert found.chance == pytest.approx((1 / 4 + 0) / 2)
    asked = score_last_words(model, passages, written=lambda some: [p.word == " z" for p in some])
    assert asked.accuracy is not None
    assert (asked.accuracy.value, asked.accuracy.num) == (0.5, 2)
    # As everywhere, a perplexity stays a number that a file of results can hold.
    model.nats["x y| z"] = 1e6
    assert 1e300 < score_last_words(model, passages).perplexity < float("inf")
    with pytest.raises(DataError, match="no passages"):
        score_last_words(model, [])
