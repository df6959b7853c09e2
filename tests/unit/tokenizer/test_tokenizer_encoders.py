"""The fast ways agree with the plain ones, and take time that grows with the text."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from homespun.tokenizer import DroppingEncoder, TokenizerConfig, train_tokenizer
from homespun.tokenizer.encoders import join_pairs, normalise
from homespun.tokenizer.layout import Merge
from homespun.tokenizer.reference import join_pairs_obvious

# Of several classes, some of which decompose into others, and one that is no part of their order.
MARKS = "\u0301\u0316\u0323\u0344\u05b0\u0f73\u0f71\u0f74\u1dce\u3099\u034f\u0488\u09bc\U0001d165"


@pytest.mark.parametrize("seed", range(20))
def test_long_runs_of_marks_become_what_python_makes_of_them(seed: int) -> None:
    draw = random.Random(seed)
    pieces = []
    for _ in range(4):
        pieces.append(draw.choice(["a", "\u00e9", "\u1ebf", "か", "\u0915", "", "x\ud800"]))
        num = draw.choice([1, 511, 512, 513, 700, 1500])
        pieces.append("".join(draw.choices(MARKS, k=num)))
    text = "".join(pieces)
    expected = unicodedata.normalize("NFC", text).replace("\ud800", "\ufffd")
    assert normalise(text) == expected
    assert normalise("plain text, " * 40 + text) == "plain text, " * 40 + expected


def test_a_run_without_end_takes_no_time_with_its_square() -> None:
    num = 200_000
    begun = time.process_time()
    found = normalise("a" + "\u0301\u0316" * num)
    assert time.process_time() - begun < 10
    assert found == "\u00e1" + "\u0316" * num + "\u0301" * (num - 1)


def random_ranks(draw: random.Random) -> dict[Merge, int]:
    """Merges as training leaves them: of parts that are there already."""
    parts = [bytes([byte]) for byte in b"abc"]
    ranks: dict[Merge, int] = {}
    for _ in range(12):
        pair = (draw.choice(parts), draw.choice(parts))
        if pair not in ranks:
            ranks[pair] = len(ranks)
            parts.append(pair[0] + pair[1])
    return ranks


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("dropped", [0.0, 0.2, 0.7])
def test_pairs_are_joined_as_by_looking_at_all_of_them(seed: int, dropped: float) -> None:
    draw = random.Random(seed)
    ranks = random_ranks(draw)
    for size in (0, 1, 2, 3, 8, 60):
        word = [bytes([byte]) for byte in draw.choices(b"abc", k=size)]
        fast = join_pairs(word, ranks, dropped=dropped, draw=random.Random(size))
        slow = join_pairs_obvious(word, ranks, dropped=dropped, draw=random.Random(size))
        assert fast == slow
        assert b"".join(fast) == b"".join(word)
        assert join_pairs(word, ranks) == join_pairs_obvious(word, ranks)


def test_a_word_without_end_is_cut_at_random_in_time_that_grows_with_it() -> None:
    words = ["the letters of the other letters are there "] * 20
    tokenizer = train_tokenizer(words, config=TokenizerConfig(vocab_size=300))
    text = "theotherletters" * 2_000
    begun = time.process_time()
    (ids,) = DroppingEncoder(tokenizer, 0.1, seed=0).encode_batch([text], number=0)
    assert time.process_time() - begun < 20
    assert tokenizer.decode(ids) == text
    assert len(ids) > len(tokenizer.encode(text))
