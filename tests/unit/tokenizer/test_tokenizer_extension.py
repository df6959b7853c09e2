"""Merges learnt on top of others: ids stay, counts are right, text takes fewer tokens."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from homespun.core import ConfigError
from homespun.tokenizer import (
    SPECIAL_TOKENS,
    ByteLevelTokenizer,
    TokenizerConfig,
    extend_tokenizer,
    pieces_of,
    train_tokenizer,
)
from homespun.tokenizer.extension import joined_words, learn_merges, learn_merges_obvious
from homespun.tokenizer.layout import parse_document

WORDS = [
    "the",
    "theme",
    "then",
    "those",
    "river",
    "rivers",
    "riven",
    "狐狸",
    "狐",
    "银河",
    "banana",
    "bandana",
    "anna",
    "2024",
    "2025",
]


def texts(seed: int = 0) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choices(WORDS, k=200)) + "\naaaaaa bbb\n" for _ in range(5)]


def small(vocab_size: int = 275) -> ByteLevelTokenizer:
    return train_tokenizer(texts(), config=TokenizerConfig(vocab_size=vocab_size))


@pytest.mark.parametrize("seed", range(4))
def test_counts_kept_up_to_date_give_the_merges_of_counting_anew(seed: int) -> None:
    known = parse_document(small().document, where="the test")
    words = joined_words(texts(seed), known.merges)
    for most in (4, 32):
        fast = learn_merges(words, known=known.tokens, room=60, max_token_bytes=most)
        slow = learn_merges_obvious(words, known=known.tokens, room=60, max_token_bytes=most)
        assert fast == slow
        assert len(fast) > 5


def test_words_are_joined_as_encoding_joins_them() -> None:
    tokenizer = small()
    known = parse_document(tokenizer.document, where="the test")
    ids = {token: index for index, token in enumerate(known.tokens)}
    for word in joined_words(texts(3), known.merges):
        text = b"".join(word).decode()
        assert [ids[piece] for piece in word] == tokenizer.encode(text).tolist()


def test_words_without_end_are_cut_as_training_cuts_them() -> None:
    words = joined_words(["ab" * 700 + " " + "狐" * 600], ())
    assert sorted(len(b"".join(word).decode()) for word in words) == [1, 88, 376, 512, 512]
    assert sum(words.values()) == 6


def test_old_ids_stay_and_text_takes_fewer_tokens() -> None:
    before = small()
    after = extend_tokenizer(before, texts(1), vocab_size=300)
    assert after.vocab_size == 300
    num_old = before.vocab_size - len(SPECIAL_TOKENS)
    for index in range(num_old):
        assert after.token_bytes(index) == before.token_bytes(index)
    assert [after.special_ids[token] for token in SPECIAL_TOKENS] == list(range(292, 300))
    text = "\n".join(texts(2))
    assert after.decode(after.encode(text)) == text
    assert len(after.encode(text)) < 0.9 * len(before.encode(text))
    again = extend_tokenizer(before, texts(1), vocab_size=300)
    assert again.document == after.document


def test_pieces_of_new_tokens_are_what_the_old_tokenizer_makes_of_them() -> None:
    before = small()
    after = extend_tokenizer(before, texts(1), vocab_size=300)
    pieces = pieces_of(before, after)
    assert len(pieces) == 300
    num_old = before.vocab_size - len(SPECIAL_TOKENS)
    assert pieces[:num_old] == [[index] for index in range(num_old)]
    assert pieces[-8:] == [[before.special_ids[token]] for token in SPECIAL_TOKENS]
    for index in range(num_old, 292):
        assert len(pieces[index]) > 1
        joined = b"".join(before.token_bytes(piece) for piece in pieces[index])
        assert joined == after.token_bytes(index)
    ids = after.encode("the riverside bandana")
    spelled = [piece for index in ids for piece in pieces[index]]
    assert before.decode(np.array(spelled)) == "the riverside bandana"


def test_learning_stops_where_no_pair_occurs_twice() -> None:
    after = extend_tokenizer(small(), ["ab cd"], vocab_size=5000)
    assert after.vocab_size == small().vocab_size


def test_an_extension_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="275 tokens already"):
        extend_tokenizer(small(), texts(), vocab_size=275)
    characters = train_tokenizer(texts(), config=TokenizerConfig(kind="char", vocab_size=300))
    with pytest.raises(ConfigError, match="only a vocabulary of merges"):
        extend_tokenizer(characters, texts(), vocab_size=400)
