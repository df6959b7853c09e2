"""The fast ways agree with the plain ones, and take time that grows with the text."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from homespun.tokenizer import DroppingEncoder, TokenizerConfig, train_tokenizer
from homespun.tokenizer.encoders import join_pairs, join_pairs_obvious
from homespun.tokenizer.layout import Merge


def test_marks_in_any_order_give_the_same_ids() -> None:
    tokenizer = train_tokenizer(["a\u0301b"], config=TokenizerConfig(kind="byte"))
    text, ordered = "a" + "\u0323\u0301" * 600, "a" + "\u0323" * 600 + "\u0301" * 600
    assert tokenizer.encode(text).tolist() == tokenizer.encode(ordered).tolist()
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", ordered)


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
