"""Turning a sentence of documentation into what follows a name."""

from __future__ import annotations

import pytest

from homespun.corpus.chat.python.wording import as_predicate, join_list, lower_first, third_person


@pytest.mark.parametrize(
    ("verb", "third"),
    [("return", "returns"), ("copy", "copies"), ("push", "pushes"), ("do", "does"),
     ("display", "displays"), ("parse", "parses"), ("zip", "zips"), ("fix", "fixes")],
)  # fmt: skip
def test_third_person(verb: str, third: str) -> None:
    assert third_person(verb) == third


@pytest.mark.parametrize(
    ("sentence", "predicate"),
    [
        ("Return the base name.", "returns the base name."),
        ("Returns the base name.", "returns the base name."),
        ("Copy a file.", "copies a file."),
        ("Set the name.", "sets the name."),
        ("Remove and return an item.", "removes and returns an item."),
        ("Search for a word.", "searches for a word."),
        ("A box that holds things.", "is a box that holds things."),
        ("An open file.", "is an open file."),
        ("This function gives the name.", "gives the name."),
        ("This method is called at the end.", "is called at the end."),
        # Unsure: nothing.
        ("Open the file and close it.", ""),
        ("Get the name, set the value.", ""),
        ("A path represents a place.", ""),
        ("A network error occurred.", ""),
        ("List of names.", ""),
        ("Set of names.", ""),
        ("Test case for names.", ""),
        ("Base class for names.", ""),
        ("The name of it.", ""),
        ("Parser.", ""),
    ],
)
def test_predicates_are_right_or_absent(sentence: str, predicate: str) -> None:
    assert as_predicate(sentence) == predicate


def test_only_ordinary_words_are_lowered() -> None:
    assert lower_first("A list.") == "a list."
    assert lower_first("The end.") == "the end."
    assert lower_first("Unicode text.") == "Unicode text."
    assert lower_first("True if so.") == "True if so."


def test_lists_are_joined_as_spoken() -> None:
    assert join_list([]) == ""
    assert join_list(["a"]) == "a"
    assert join_list(["a", "b"]) == "a and b"
    assert join_list(["a", "b", "c"]) == "a, b and c"
