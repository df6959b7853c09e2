from __future__ import annotations

import json

import pytest

from homespun.tokenizer import (
    ByteLevelTokenizer,
    TokenizerConfig,
    display_text,
    split_for_display,
    tokenizer_stats,
    train_tokenizer,
)
from homespun.tokenizer.layout import build_document, dump_document


@pytest.fixture(scope="module")
def characters() -> ByteLevelTokenizer:
    return train_tokenizer(["你好"], config=TokenizerConfig(kind="char"))


def test_statistics_count_by_hand(characters: ByteLevelTokenizer) -> None:
    stats = tokenizer_stats(characters, {"zh": ["你好", "你龘"], "en": iter(["abca"]), "fr": []})
    assert stats["vocab_size"] == 256 + 2 + 8
    assert stats["languages"]["zh"] == {
        "documents": 2,
        "bytes": 12,
        "characters": 4,
        "tokens": 6,
        "bytes_per_token": 2.0,
        "tokens_per_character": 1.5,
        "vocabulary_used": round(5 / 258, 4),
        "byte_fallback": 0.25,
    }
    assert stats["languages"]["en"]["bytes_per_token"] == 1.0
    assert stats["languages"]["en"]["byte_fallback"] == 0.0
    assert stats["languages"]["fr"]["bytes_per_token"] == 0.0
    assert stats["vocabulary_used"] == round(8 / 258, 4)
    json.dumps(stats, allow_nan=False)


def test_a_character_with_the_beginning_of_the_next_is_not_spelled_in_pieces() -> None:
    middle = "中".encode()
    begun = middle + "他".encode()[:1]
    tokens = [*(bytes([byte]) for byte in range(256)), middle[:2], middle, begun]
    merges = [(middle[:1], middle[1:2]), (middle[:2], middle[2:]), (middle, begun[3:])]
    tokenizer = ByteLevelTokenizer(dump_document(build_document("bpe", tokens, merges)))
    assert tokenizer.encode("中他").tolist() == [258, *"他".encode()[1:]]
    told = tokenizer_stats(tokenizer, {"zh": ["中他"]})["languages"]["zh"]
    assert (told["characters"], told["byte_fallback"]) == (2, 0.5)


def test_statistics_do_not_depend_on_the_form_of_the_text(
    characters: ByteLevelTokenizer,
) -> None:
    composed = tokenizer_stats(characters, {"fr": ["caf\u00e9"]})
    assert tokenizer_stats(characters, {"fr": ["cafe\u0301"]}) == composed


def test_longest_tokens_come_first() -> None:
    tokenizer = train_tokenizer(["hello hello\n\n\n\n" * 9], config=TokenizerConfig(vocab_size=300))
    longest = tokenizer_stats(tokenizer, {}, num_longest=2)["longest_tokens"]
    assert [entry["text"] for entry in longest] == [" hello", "hello"]
    assert [entry["bytes"] for entry in longest] == [6, 5]
    assert tokenizer.token_bytes(longest[0]["id"]) == b" hello"


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" the", " the"),
        ("你好".encode(), "你好"),
        (b"\xe4\xbd", "\\xE4\\xBD"),
        (b"a\n\t\x1b[31m", "a\\n\\t\\x1b[31m"),
        ("\u202eabc\u200b\u2028".encode(), "\\u202eabc\\u200b\\u2028"),
        (b"", ""),
    ],
)
def test_tokens_are_shown_on_one_safe_line(token: bytes, shown: str) -> None:
    assert display_text(token) == shown


def test_pieces_of_a_character_show_with_the_first(characters: ByteLevelTokenizer) -> None:
    assert split_for_display(characters, "a你龘😀b") == [
        ("a", 97),
        ("你", 256),
        ("龘", 0xE9),
        ("", 0xBE),
        ("", 0x98),
        ("😀", 0xF0),
        ("", 0x9F),
        ("", 0x98),
        ("", 0x80),
        ("b", 98),
    ]


@pytest.mark.parametrize("kind", ["bpe", "char", "byte"])
def test_pieces_joined_are_the_text(kind: str) -> None:
    config = TokenizerConfig(kind=kind, vocab_size=300)  # type: ignore[arg-type]
    tokenizer = train_tokenizer(["话说天下大势，分久必合\n" * 5], config=config)
    text = "话说宝玉，e\u0323 👩\u200d👧 <|im_end|>\r\n"
    pieces = split_for_display(tokenizer, text)
    assert "".join(piece for piece, _ in pieces) == tokenizer.decode(tokenizer.encode(text))
    assert [index for _, index in pieces] == tokenizer.encode(text).tolist()
