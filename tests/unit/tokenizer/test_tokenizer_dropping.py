"""Texts cut at random: always the same text, sometimes the usual cut."""

from __future__ import annotations

import unicodedata

import pytest

from homespun.core import ConfigError
from homespun.tokenizer import DroppingEncoder, TokenizerConfig, dropping, train_tokenizer

TEXTS = [
    "the translated letters were translated again and again",
    "a letter, 1234 letters; re-translated!",
    "我们翻译了很多信件，很多人翻译信件。",
    "信件 and letters 混在一起",
    "naïve e\u0301tude 👩‍🚀 \t\n tabs",
    "",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS * 20, config=TokenizerConfig(vocab_size=420))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_every_cut_says_the_text(tokenizer, share):
    encoder = DroppingEncoder(tokenizer, share, seed=1)
    for number in range(5):
        for text, ids in zip(TEXTS, encoder.encode_batch(TEXTS, number=number), strict=True):
            assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_without_a_share_it_is_the_usual_cut(tokenizer):
    found = DroppingEncoder(tokenizer, 0.0, seed=1).encode_batch(TEXTS, number=0)
    for text, ids in zip(TEXTS, found, strict=True):
        assert ids.tolist() == tokenizer.encode(text).tolist()


def test_cuts_differ_by_turn_and_are_the_same_again(tokenizer):
    first, again = (DroppingEncoder(tokenizer, 0.3, seed=1) for _ in range(2))
    turns = [[ids.tolist() for ids in first.encode_batch(TEXTS, number=n)] for n in range(4)]
    assert turns == [
        [ids.tolist() for ids in again.encode_batch(TEXTS, number=n)] for n in range(4)
    ]
    assert len({tuple(turn[0]) for turn in turns}) > 1
    other = DroppingEncoder(tokenizer, 0.3, seed=2).encode_batch(TEXTS, number=0)
    assert [ids.tolist() for ids in other] != turns[0]
    usual = sum(len(tokenizer.encode(text)) for text in TEXTS)
    assert all(sum(map(len, turn)) > usual for turn in turns)


def test_only_so_much_is_remembered_and_it_changes_nothing(tokenizer, monkeypatch):
    words = [a + b + c + "o" for a in "bcdfg" for b in "aeiou" for c in "lmnrs"]
    texts = [" ".join(words), " ".join(reversed(words))] * 2
    whole = DroppingEncoder(tokenizer, 0.3, seed=1)
    found = [ids.tolist() for ids in whole.encode_batch(texts, number=0)]
    monkeypatch.setattr(dropping, "MOST_KEPT", 2_000)
    little = DroppingEncoder(tokenizer, 0.3, seed=1)
    assert [ids.tolist() for ids in little.encode_batch(texts, number=0)] == found
    kept = [sum(map(len, encoder._cuts.values())) for encoder in (little, whole)]
    assert kept[0] < 2_000 / 8 < kept[1]


def test_characters_that_have_a_token_stay_whole(tokenizer):
    letters = [letter for letter in TEXTS[2] if len(tokenizer.encode(letter)) == 1]
    assert len(letters) > 5
    encoder = DroppingEncoder(tokenizer, 0.9, seed=3)
    for ids in encoder.encode_batch(["".join(letters)] * 20, number=0):
        assert all(len(tokenizer.token_bytes(int(one))) >= 3 for one in ids)


def test_what_cannot_be_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="lies in"):
        DroppingEncoder(tokenizer, 1.0, seed=0)
    plain = train_tokenizer(TEXTS, config=TokenizerConfig(kind="byte"))
    with pytest.raises(ConfigError, match="only a tokenizer of merges"):
        DroppingEncoder(plain, 0.1, seed=0)
