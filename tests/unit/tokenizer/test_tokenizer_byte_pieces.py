"""Byte-level BPE for encoders: places, words and marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from homespun.recipes.encoder.tokens import marked_stream
from homespun.tokenizer.byte_pieces import train_byte_pieces
from homespun.tokenizer.pieces import PieceTokenizer

TEXTS = [
    "The cat sat on the mat, and the other cat sat there too.",
    "我爱北京天安门，天安门上太阳升。",
    "A naïve café in 北京 opened at 10:30.",
] * 8


@pytest.fixture(scope="module")
def tokenizer() -> PieceTokenizer:
    return train_byte_pieces(TEXTS, vocab_size=400)


def test_tokens_know_their_place(tokenizer: PieceTokenizer) -> None:
    for text in (*TEXTS[:3], "🦊 foxes: 𠀀 and Ω"):
        pieces = tokenizer.encode(text)
        assert (pieces.ids[0], pieces.ids[-1]) == (tokenizer.start_id, tokenizer.end_id)
        assert tokenizer.unknown_id not in pieces.ids
        covered = {at for start, stop in pieces.offsets for at in range(start, stop)}
        assert covered == {at for at, letter in enumerate(text) if not letter.isspace()}
    pieces = tokenizer.encode("the cat 爱天安门")
    shown = ["the cat 爱天安门"[a:b] for a, b in pieces.offsets]
    assert shown[1:3] == ["the", "cat"]
    assert [one for one in dict.fromkeys(shown[3:-1]) if one] == list("爱天安门")


def test_a_chinese_character_is_a_word(tokenizer: PieceTokenizer) -> None:
    pieces = tokenizer.encode("我爱北京")
    assert pieces.words == [-1, *sorted(pieces.words[1:-1]), -1]
    assert len(set(pieces.words)) == 5
    stream = marked_stream(["天安门"], tokenizer, words_of=lambda runs: [["天安门"] for _ in runs])
    begun = [tokenizer.token_text(n) for n in stream.ids_N[stream.begins_N == 1]]
    assert len(begun) == 4  # three marks and one word
    assert tokenizer.word_beginnings().sum() > 20


def test_words_that_are_given_are_as_they_stand_in_texts(tokenizer: PieceTokenizer) -> None:
    inner = tokenizer.encode("I sat 北京 10").ids[1:-1]
    words = tokenizer.encode_words(["sat", "北", "京", "10", ","])
    assert words.words == [-1, *sorted(words.words[1:-1]), -1]
    assert set(words.words[1:-1]) == {0, 1, 2, 3, 4}
    by_word = [[i for i, w in zip(words.ids, words.words, strict=True) if w == n] for n in range(4)]
    for ids in by_word:
        assert any(inner[at : at + len(ids)] == ids for at in range(len(inner)))
    assert next(b - a for a, b in words.offsets if b > a) == 3
    (empty,) = (tokenizer.encode_words([""]).ids[1:-1],)
    assert empty == [tokenizer.unknown_id]


@pytest.mark.parametrize("word", ["カ", "ー", "の", "京", "㐀"])
def test_a_word_of_a_script_without_spaces_has_none_before_it(
    tokenizer: PieceTokenizer, word: str
) -> None:
    alone = tokenizer.encode_words([word, "sat"])
    assert alone.ids[: alone.words.index(1)] == tokenizer.encode(word).ids[:-1]


def test_what_looks_like_a_mark_is_text(tokenizer: PieceTokenizer) -> None:
    pieces = tokenizer.encode("a <|mask|> b <|sep|>")
    assert tokenizer.mask_id not in pieces.ids
    assert pieces.ids.count(tokenizer.end_id) == 1


def test_pairs_have_one_mark_between_and_two_types(tokenizer: PieceTokenizer) -> None:
    pair = tokenizer.encode_pair("the cat", "天")
    assert pair.ids.count(tokenizer.end_id) == 2
    assert pair.types[0] == 0
    assert pair.types[-1] == 1


def test_it_is_saved_learned_alike_and_without_capitals(
    tokenizer: PieceTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    again = PieceTokenizer.load(tmp_path)
    assert again.encode(TEXTS[2]) == tokenizer.encode(TEXTS[2])
    assert train_byte_pieces(TEXTS, vocab_size=400).encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    small = train_byte_pieces(TEXTS, vocab_size=400, lowercase=True)
    assert small.encode("The CAT").ids == small.encode("the cat").ids
    assert tokenizer.encode("The").ids != tokenizer.encode("the").ids
    flags = tokenizer.mark_flags()
    assert flags.sum() == 8
    assert not np.any(flags[tokenizer.encode(TEXTS[0]).ids[1:-1]])


def test_transformers_gives_the_same_ids(tokenizer: PieceTokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save_for_transformers(tmp_path, context=64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS[:3]:
        assert theirs(text)["input_ids"] == tokenizer.encode(text).ids
    pair = tokenizer.encode_pair("the cat", "北京")
    told = theirs("the cat", "北京")
    assert (told["input_ids"], told["token_type_ids"]) == (pair.ids, pair.types)
