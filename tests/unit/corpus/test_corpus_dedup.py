"""Nothing is kept twice, the hash table is a set, and the slow version agrees."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.corpus.clean import clean_text, normal_form, num_letters, paragraphs, width
from homespun.corpus.dedup import DuplicateFilter, deduplicate_slowly
from homespun.corpus.hashset import HashSet64

MIN_WIDTH = 20


def _enough(text: str) -> bool:
    return num_letters(text) >= 5


@given(st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1)), max_size=300))
def test_hash_set_is_a_set(keys: list[int]) -> None:
    table, plain = HashSet64(capacity=2), set()
    for key in keys:
        assert (key in table) == (key in plain)
        assert table.add(key) == (key not in plain)
        plain.add(key)
        assert len(table) == len(plain)
    assert all(key in table for key in plain)


@given(
    st.lists(
        st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1)), max_size=60), max_size=8
    )
)
def test_hash_set_takes_many_at_once_as_one_after_another(groups: list[list[int]]) -> None:
    table, plain = HashSet64(capacity=2), set()
    for group in groups:
        keys = np.array(group, np.uint64)
        assert table.contains_many(keys).tolist() == [key in plain for key in group]
        table.add_many(keys)
        plain.update(group)
        assert len(table) == len(plain)
        assert set(table.keys().tolist()) == plain
        assert all(key in table for key in plain)


def test_hash_set_keeps_everything_while_it_grows_and_stays_small() -> None:
    choose = random.Random(0)
    keys = [choose.getrandbits(64) for _ in range(50_000)]
    table = HashSet64()
    assert all(table.add(key) for key in keys)
    assert not any(table.add(key) for key in keys)
    assert 1 + choose.getrandbits(63) not in table
    assert table.num_bytes() <= 27 * len(keys)


def test_hash_set_survives_keys_that_share_one_slot() -> None:
    table = HashSet64(capacity=4)
    keys = [(number << 40) | 7 for number in range(500)]
    assert all(table.add(key) for key in keys)
    assert all(key in table for key in keys)


_PARAGRAPHS = (
    "a first long paragraph of words",
    "A  FIRST long paragraph of words",
    "short",
    "12345 12345 12345 12345 12345",
    "这是一段比较长的中文文字用来测试",
    "another paragraph, long enough",
    "more words in a row here",
)
_paragraph = st.sampled_from(_PARAGRAPHS)
_text = st.lists(_paragraph, min_size=1, max_size=5).map("\n\n".join).map(clean_text)


@settings(max_examples=300)
@given(st.lists(_text, max_size=8))
def test_filter_agrees_with_the_slow_version_and_nothing_is_kept_twice(texts: list[str]) -> None:
    fast = DuplicateFilter(min_width=MIN_WIDTH, enough=_enough)
    verdicts = [fast.check(text) for text in texts]
    assert verdicts == list(deduplicate_slowly(texts, min_width=MIN_WIDTH, enough=_enough))
    kept = [verdict.text for verdict in verdicts if not verdict.reason]
    forms = [normal_form(text) for text in kept]
    assert len(set(forms)) == len(forms)
    long = [
        normal_form(piece)
        for text in kept
        for piece in paragraphs(text)
        if width(piece.strip()) >= MIN_WIDTH
    ]
    assert len(set(long)) == len(long)


def test_a_dropped_text_does_not_make_its_paragraphs_count_as_seen() -> None:
    numbers = "0123456789 " * 5
    check = DuplicateFilter(min_width=MIN_WIDTH, enough=_enough).check
    words = "some words that are long enough to count"
    assert check(f"{words}\n\nanother paragraph").reason == ""
    dropped = check(f"{words}\n\n{numbers}\n\nxy")
    assert dropped.reason == "repeated-paragraph"
    assert check(f"{numbers}\n\nfresh words").removed == ()


def test_paragraph_removal_can_be_turned_off() -> None:
    check = DuplicateFilter(min_width=MIN_WIDTH, enough=_enough, remove_paragraphs=False).check
    text = "a paragraph that comes back again and again"
    assert check(f"{text}\n\nfirst").text == f"{text}\n\nfirst"
    assert check(f"{text}\n\nsecond").text == f"{text}\n\nsecond"
    assert check(f"{text}\n\nSECOND").reason == "exact-duplicate"


def test_short_repeats_in_source_code_stay() -> None:
    check = DuplicateFilter(min_width=MIN_WIDTH, enough=_enough).check
    block = "def main():\n    return run()\n"
    assert check(f"{block}\n\nx = 1", is_code=True).removed == ()
    assert check(f"{block}\n\ny = 2", is_code=True).removed == ()
