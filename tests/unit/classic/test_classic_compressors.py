import random

import pytest

from homespun.classic import XzLanguageModel, join_documents
from homespun.classic.compressors import xz_size

WORDS = [f"word{number}" for number in range(300)]


def text(seed: int, num_words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=num_words))


def test_documents_are_joined_with_one_mark_each() -> None:
    assert join_documents(["a", "你"]) == b"a\x00\xe4\xbd\xa0\x00"
    assert join_documents([]) == b""


def test_the_cost_is_what_the_added_text_adds() -> None:
    training, added = join_documents([text(0, 2000)]), join_documents([text(1, 400)])
    window = len(training) + len(added)
    expected = xz_size(training + added, window=window) - xz_size(training, window=window)
    score = XzLanguageModel(training).score([text(1, 400)])
    assert score.bits_per_byte == pytest.approx(8 * expected / len(text(1, 400).encode()))
    assert score.num_bytes == len(text(1, 400).encode())


def test_training_text_makes_its_like_cheaper_and_itself_nearly_free() -> None:
    training, held_out = text(0, 3000), text(1, 500)
    alone = XzLanguageModel(b"").score([held_out]).bits_per_byte
    trained = XzLanguageModel(join_documents([training])).score([held_out]).bits_per_byte
    repeated = XzLanguageModel(join_documents([training])).score([training]).bits_per_byte
    assert repeated < 0.1 < trained < alone


def test_the_window_reaches_back_to_the_beginning() -> None:
    """A sentence at the start, far before the text that repeats it, is still found."""
    noise = join_documents([text(0, 30_000)])
    secret = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=2000)
    added = "".join(secret)
    unknown = XzLanguageModel(noise).score([added]).nats
    far = XzLanguageModel(join_documents([added]) + noise).score([added]).nats
    assert far < 0.05 * unknown


def test_only_the_end_of_too_much_training_text_is_used() -> None:
    model = XzLanguageModel(b"x" * 1000, max_training_bytes=100)
    assert model.num_training_bytes == 100


def test_nothing_costs_nothing() -> None:
    assert XzLanguageModel(b"abc").score([]) == (0.0, 0, 0)
