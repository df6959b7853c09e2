"""Cleaning makes texts regular, twice is the same as once, and the slow version agrees."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.clean import (
    clean_text,
    clean_text_slowly,
    join_paragraphs,
    normal_form,
    num_letters,
    paragraphs,
    width,
)

awkward_text = st.text(
    alphabet=st.one_of(
        st.sampled_from(" \n\t\r\x0b\x85\u2028\u200b\ufeff\x00\u3000ae\u0301中文。A"),
        st.characters(),
    ),
    max_size=120,
)


@given(awkward_text)
def test_cleaning_agrees_with_the_slow_version(text: str) -> None:
    assert clean_text(text) == clean_text_slowly(text)


@given(awkward_text)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\n\n\n\n" not in once


def test_cleaning_keeps_indentation_tabs_and_chinese_spaces() -> None:
    text = "　　话说天下大势，分久必合。  \r\n\r\n\r\n\r\n\r\n\tdef f():\r\n\t\tpass\x00\ufeff"
    assert clean_text(text) == "　　话说天下大势，分久必合。\n\n\n\tdef f():\n\t\tpass"


def test_cleaning_keeps_the_joiners_that_emoji_and_persian_need() -> None:
    assert clean_text("👩\u200d👧 می\u200cخواهم") == "👩\u200d👧 می\u200cخواهم"


@pytest.mark.parametrize(("text", "letters"), [("", 0), ("12 - 3!", 0), ("abc", 3), ("中文", 4)])
def test_a_chinese_letter_counts_twice(text: str, letters: int) -> None:
    assert num_letters(text) == letters


@given(awkward_text, st.integers(1, 30))
def test_counting_may_stop_early_but_never_misjudges(text: str, enough: int) -> None:
    text = text * 10
    assert (num_letters(text, enough=enough) >= enough) == (num_letters(text) >= enough)


def test_width_counts_chinese_twice() -> None:
    assert width("ab中文") == 6


def test_normal_form_ignores_case_and_spacing_only() -> None:
    assert normal_form("  The\n\n Cat ") == normal_form("the cat")
    assert normal_form("the cat.") != normal_form("the cat")


@given(awkward_text)
def test_paragraphs_join_to_the_same_words(text: str) -> None:
    text = clean_text(text)
    assert join_paragraphs(paragraphs(text)).split() == text.split()


def test_a_long_block_without_blank_lines_is_divided_at_its_lines() -> None:
    text = "\n".join(["　　一行就是一段。" * 20] * 30)
    assert len(paragraphs(text)) == 30
    assert join_paragraphs(paragraphs(text)) == text
