"""What every core.LanguageModel keeps to: xz, n-grams and decoders alike."""

import math
from collections.abc import Callable

import pytest
import torch

from homespun.classic import (
    KneserNey,
    NgramLanguageModel,
    Unigram,
    XzLanguageModel,
    join_documents,
)
from homespun.core import LanguageModel, Score, Tokenizer
from homespun.evaluation import DecoderLanguageModel
from homespun.models import DecoderConfig
from homespun.tokenizer import TokenizerConfig, train_tokenizer

TRAIN = ["the cat sat on the mat", "猫坐在垫子上", "the dog ran", ""] * 5
TEXTS = ["the cat ran on the mat and over it", "狗坐在猫上", "", "a\n\nb", "the dog"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["abc"], config=TokenizerConfig(kind="byte"))


def unigram(tokenizer: Tokenizer) -> LanguageModel:
    table = Unigram(vocab_size=tokenizer.vocab_size, end_of_text_id=tokenizer.end_of_text_id)
    return NgramLanguageModel("unigram", tokenizer, table.fit(tokenizer.encode_batch(TRAIN)))


def ngram(tokenizer: Tokenizer) -> LanguageModel:
    table = KneserNey(
        order=4, vocab_size=tokenizer.vocab_size, end_of_text_id=tokenizer.end_of_text_id
    )
    return NgramLanguageModel("4-gram", tokenizer, table.fit(tokenizer.encode_batch(TRAIN)))


def decoder(tokenizer: Tokenizer) -> LanguageModel:
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=1,
        width=16,
        num_heads=2,
        num_kv_heads=2,
        head_width=8,
        mlp_width=16,
        context=12,
    )
    model = config.build(torch.Generator().manual_seed(1))
    return DecoderLanguageModel("decoder", model, tokenizer)


def xz(tokenizer: Tokenizer) -> LanguageModel:
    return XzLanguageModel(join_documents(TRAIN))


Make = Callable[[Tokenizer], LanguageModel]
# xz reads its texts as one stream; all others score each document alone.
ALONE: list[Make] = [unigram, ngram, decoder]
ALL: list[Make] = [*ALONE, xz]


@pytest.mark.parametrize("make", ALL)
def test_a_score_has_the_bytes_of_the_texts_and_costs_something(
    make: Make, tokenizer: Tokenizer
) -> None:
    model = make(tokenizer)
    score = model.score(TEXTS)
    assert isinstance(score, Score)
    assert score.num_bytes == sum(len(text.encode("utf-8")) for text in TEXTS)
    assert score.num_tokens >= len(TEXTS)
    assert 0 < score.nats < math.inf
    assert isinstance(model.name, str)
    assert model.name


@pytest.mark.parametrize("make", ALL)
def test_no_texts_cost_nothing(make: Make, tokenizer: Tokenizer) -> None:
    assert make(tokenizer).score([]) == Score(0.0, 0, 0)


@pytest.mark.parametrize("make", ALL)
def test_scores_repeat(make: Make, tokenizer: Tokenizer) -> None:
    model = make(tokenizer)
    assert model.score(TEXTS) == model.score(TEXTS)


@pytest.mark.parametrize("make", ALL)
def test_more_text_costs_more(make: Make, tokenizer: Tokenizer) -> None:
    model = make(tokenizer)
    assert model.score([*TEXTS, "x7!q#Z好z" * 9]).nats > model.score(TEXTS).nats


@pytest.mark.parametrize("make", ALONE)
def test_scores_add_up_over_documents(make: Make, tokenizer: Tokenizer) -> None:
    model = make(tokenizer)
    parts = [model.score([text]) for text in TEXTS]
    whole = model.score(TEXTS)
    assert whole.nats == pytest.approx(sum(part.nats for part in parts), rel=1e-5)
    assert whole.num_bytes == sum(part.num_bytes for part in parts)
    assert whole.num_tokens == sum(part.num_tokens for part in parts)


@pytest.mark.parametrize("make", ALONE)
def test_the_order_of_documents_does_not_matter(make: Make, tokenizer: Tokenizer) -> None:
    model = make(tokenizer)
    assert model.score(TEXTS[::-1]).nats == pytest.approx(model.score(TEXTS).nats, rel=1e-5)


@pytest.mark.parametrize("make", ALONE)
def test_the_end_of_a_document_is_predicted(make: Make, tokenizer: Tokenizer) -> None:
    score = make(tokenizer).score([""])
    assert score.num_tokens == 1
    assert score.nats > 0


@pytest.mark.parametrize("make", [unigram, ngram])
def test_probabilities_of_all_short_texts_leave_room_for_longer_ones(
    make: Make, tokenizer: Tokenizer
) -> None:
    """Documents of no and of one byte together have less than all of the probability."""
    model = make(tokenizer)
    texts = ["", *(chr(byte) for byte in range(128))]
    assert 0 < sum(math.exp(-model.score([text]).nats) for text in texts) < 1
