"""WordPiece: places of tokens, words, pairs, cutting, and the real vocabulary of BERT."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.core import ConfigError, DataError
from homespun.tokenizer.pieces import PieceTokenizer, train_pieces

TEXTS = ["the unbelievable cat sat on the mat", "the cat and the dog believe", "猫坐在垫子上"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> PieceTokenizer:
    return train_pieces(TEXTS, vocab_size=200)


def test_tokens_know_their_place_and_word(tokenizer: PieceTokenizer) -> None:
    text = "The cat, 猫！"
    pieces = tokenizer.encode(text)
    assert pieces.ids[0] == tokenizer.start_id
    assert pieces.ids[-1] == tokenizer.end_id
    assert pieces.words[0] == pieces.words[-1] == -1
    for token, (a, b) in zip(pieces.ids[1:-1], pieces.offsets[1:-1], strict=True):
        if token != tokenizer.unknown_id:
            assert tokenizer.token(token).removeprefix("##") == text[a:b]
    words = [text[a:b] for a, b in pieces.offsets if b]
    assert "".join(words) == text.replace(" ", "")


def test_words_that_are_given_keep_their_numbers(tokenizer: PieceTokenizer) -> None:
    pieces = tokenizer.encode_words(["cat", "unbelievable", "\x00", "dog"])
    assert sorted(set(pieces.words)) == [-1, 0, 1, 2, 3]
    assert pieces.ids[pieces.words.index(2)] == tokenizer.unknown_id
    short = tokenizer.encode_words(["cat", "dog", "mat"], most=4)
    assert len(short.ids) == 4
    assert short.words == [-1, 0, 1, -1]


def test_half_a_character_counts_as_a_replacement_character(tokenizer: PieceTokenizer) -> None:
    text = "the \ud83d cat"  # half of an emoji, as JSON may hold it
    told = "the \ufffd cat"
    assert tokenizer.encode(text) == tokenizer.encode(told)
    assert tokenizer.encode_pair(text, text) == tokenizer.encode_pair(told, told)
    assert tokenizer.encode_words([text]) == tokenizer.encode_words([told])
    pieces = tokenizer.encode(text)
    assert [text[a:b] for a, b in pieces.offsets if b][-1] == "cat"
    assert train_pieces([*TEXTS, text], vocab_size=200).encode("the cat").ids


def test_pairs_are_cut_at_the_longer_side(tokenizer: PieceTokenizer) -> None:
    whole = tokenizer.encode_pair("cat dog", "mat")
    assert whole.types == [0] * (len(whole.types) - whole.types.count(1)) + [1] * whole.types.count(
        1
    )
    assert whole.ids.count(tokenizer.end_id) == 2
    cut = tokenizer.encode_pair("cat " * 30, "dog dog", most=12)
    assert len(cut.ids) == 12
    assert cut.types.count(1) == 3
    even = tokenizer.encode_pair("cat " * 30, "dog " * 30, most=12)
    assert (even.types.count(0), even.types.count(1)) == (7, 5)


def test_it_comes_back_from_disk_and_training_repeats(
    tokenizer: PieceTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    again = PieceTokenizer.load(tmp_path)
    assert again.encode("the cat").ids == tokenizer.encode("the cat").ids
    begins = tokenizer.word_beginnings()
    assert begins[tokenizer.start_id]
    assert not all(begins)
    assert int(tokenizer.mark_flags().sum()) == 5


SPELT = "the [SEP] cat [CLS] [MASK][PAD] [UNK] mat[SEP]"


def test_what_is_spelt_like_a_mark_is_text(tokenizer: PieceTokenizer, tmp_path: Path) -> None:
    marks = {tokenizer.start_id, tokenizer.end_id, tokenizer.mask_id, tokenizer.padding_id}
    pieces = tokenizer.encode(SPELT)
    assert not marks & set(pieces.ids[1:-1])
    assert {SPELT[a:b] for a, b in pieces.offsets} >= {"[", "SEP", "]", "cat", "mat"}
    pair = tokenizer.encode_pair(SPELT, SPELT)
    assert (pair.ids.count(tokenizer.start_id), pair.ids.count(tokenizer.end_id)) == (1, 2)
    assert tokenizer.mask_id not in pair.ids
    assert not marks & set(tokenizer.encode_words(SPELT.split()).ids[1:-1])
    tokenizer.save(tmp_path)
    assert PieceTokenizer.load(tmp_path).encode(SPELT) == pieces
    theirs = PieceTokenizer.load(tmp_path, reads_marks=True).encode(SPELT)
    assert theirs.ids.count(tokenizer.end_id) == 3
    assert marks < set(theirs.ids)


def test_marks_that_a_file_does_not_call_so_are_in_no_text(
    tokenizer: PieceTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    whole = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    words = {**whole, "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}}
    plain = [{**token, "special": False} for token in whole["added_tokens"]]
    for document in (words, {**whole, "added_tokens": plain}):
        other = PieceTokenizer(json.dumps(document))
        pieces = other.encode("the [SEP] [MASK] cat")
        unknown = [other.unknown_id] * 2
        assert pieces.ids[2:4] == unknown
        assert len(pieces.ids) == 6
        assert pieces.words[1:-1] == sorted(set(pieces.words[1:-1]))


@pytest.mark.parametrize("size", [60, 200])
def test_the_same_texts_give_the_same_pieces(size: int, tmp_path: Path) -> None:
    # Equally frequent pairs abound, and a hash map's order is another one in each training.
    texts = [*TEXTS, "abcdefg gfedcba bdfaceg", "don't stop—now, naïve Ångström 垫a子b"] * 2
    documents = set()
    for number in range(8):
        tokenizer = train_pieces(texts, vocab_size=size)
        tokenizer.save(tmp_path / str(number))
        documents.add((tmp_path / str(number) / "tokenizer.json").read_text("utf-8"))
    assert len(documents) == 1
    # Its first pieces are pieces, not marks: they are not found in a text that spells them.
    spelt = tokenizer.encode("##a")
    assert [tokenizer.token(i) for i in spelt.ids[1:3]] == ["[UNK]", "[UNK]"]


def test_a_word_without_end_is_learned_from_in_time_that_grows_with_it(tmp_path: Path) -> None:
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=500_000)
    begun = time.process_time()
    learned = train_pieces(["".join(letters), "the cat"], vocab_size=300)
    assert time.process_time() - begun < 15
    assert learned.vocab_size == 300
    learned.save(tmp_path)
    told = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert told["pre_tokenizer"] == {"type": "BertPreTokenizer"}


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tokenizer"):
        PieceTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a tokenizer"):
        PieceTokenizer.load(tmp_path)


@pytest.mark.data
def test_berts_own_vocabulary_gives_transformers_ids(
    data_set: Callable[[str], Path],
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = data_set("bert-vocab")
    ours = PieceTokenizer.load(folder)
    theirs = transformers.BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for text in ("Unbelievable! Größe, 你好 world's", "a" * 150, "naïve café — 3.14"):
        assert ours.encode(text).ids == theirs(text)["input_ids"]
    pair = theirs("A man eats.", "Someone is eating.")
    found = ours.encode_pair("A man eats.", "Someone is eating.")
    assert found.ids == pair["input_ids"]
    assert found.types == pair["token_type_ids"]
