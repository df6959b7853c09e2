"""What is understood of docstrings, and what is rather left out."""

from __future__ import annotations

import pytest

from homespun.corpus.chat.python.docstrings import is_clean, parse_docstring

GOOGLE = """Fetch the rows of a table.

It opens the table once.

Args:
    table (Table): The table to read, with a
        second line. More is said here.
    keys: Which rows, by key.
    not_in_signature: Something else.
    **options: Passed on to the reader.

Returns:
    dict[str, Row]: A dictionary from key to row. It is new.

Raises:
    OSError: If the table cannot be read.
    some text that is no exception: whatever.
"""

NUMPY = """
Fetch the rows of a table.

Parameters
----------
table : Table
    The table to read, with a
    second line. More is said here.
keys : list of str
    Which rows, by key.
**options
    Passed on to the reader.

Returns
-------
rows : dict
    A dictionary from key to row. It is new.

Raises
------
OSError
    If the table cannot be read.

Examples
--------
>>> fetch("a")
{'a': 1}

Then more.
""".strip()

SPHINX = """Fetch the rows of a table.

:param Table table: The table to read, with a
    second line. More is said here.
:param keys: Which rows, by key.
:param options: Passed on to the reader.
:returns: A dictionary from key to row. It is new.
:raises OSError: If the table cannot be read.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_three_styles_say_the_same(docstring: str) -> None:
    parts = parse_docstring(docstring, ["table", "keys", "**options"])
    assert parts.summary == "Fetch the rows of a table."
    assert parts.parameters == {
        "table": "The table to read, with a second line.",
        "keys": "Which rows, by key.",
        "options": "Passed on to the reader.",
    }
    assert parts.returns == "A dictionary from key to row."
    assert parts.raises == (("OSError", "If the table cannot be read."),)


def test_the_style_of_compiled_modules_is_understood() -> None:
    docstring = (
        "Returns packed bytes.\n\ndata\n  Binary data to be packed.\nother\n  Not asked for."
    )
    parts = parse_docstring(docstring, ["data"])
    assert parts.parameters == {"data": "Binary data to be packed."}


def test_raises_are_found_in_prose() -> None:
    parts = parse_docstring("Return the index of x.\n\nRaises ValueError if x is not there.")
    assert parts.raises == (("ValueError", "if x is not there."),)


@pytest.mark.parametrize(
    ("docstring", "summary"),
    [
        ("Return it, e.g. the name. And more.", "Return it, e.g. the name."),
        ("Return the ``name`` of\n*node*.", "Return the `name` of `node`."),
        ("open(path) -> file\n\nOpen the file at path.", "Open the file at path."),
        ("Title of the page\n=================\n", "Title of the page."),
        ("Do one of these:\n\n- this\n- that", ""),
        ("Do one of:\n- this\n- that", ""),
        ("See the other function.", ""),
        ("Return the value of $x^2$.", ""),
        ("Is it of the form x?", ""),
        ("Return the (unclosed name.", ""),
        ("Return the thing...", ""),
        ("Short.", ""),
        ("Args:\n    x: The number of things.", ""),
        (":param x: the number of things", ""),
        (">>> f(1)\n2", ""),
        ("", ""),
        ("Return " + "very " * 80 + "much.", ""),
    ],
)
def test_the_summary_is_a_clean_first_sentence_or_nothing(docstring: str, summary: str) -> None:
    assert parse_docstring(docstring).summary == summary


def test_an_example_needs_output_and_nothing_hidden() -> None:
    assert parse_docstring(NUMPY).example == ">>> fetch(\"a\")\n{'a': 1}"
    assert parse_docstring("X.\n\n>>> f(1)\n").example == ""
    assert parse_docstring("X.\n\n>>> f(1)\n<f object at 0x7f>\n").example == ""
    assert parse_docstring("X.\n\n>>> f(1)  # doctest: +SKIP\n2\n").example == ""
    assert parse_docstring("X.\n\n>>> f(0)\nTraceback (most recent call last):\n").example == ""


def test_examples_lose_their_indentation_and_empty_prompts() -> None:
    docstring = "X.\n\n    >>> for i in [1]:\n    ...     print(i)\n    1\n    >>>\n\n    Text."
    assert parse_docstring(docstring).example == ">>> for i in [1]:\n...     print(i)\n1"


@pytest.mark.parametrize(
    "sentence",
    [
        "See http://x.org for it.",
        "Return |x| of it.",
        "Use `x for it.",
        "Two words.",
        "Use it:: so.",
    ],
)
def test_unclean_sentences_are_seen(sentence: str) -> None:
    assert is_clean("Return the name of it.")
    assert not is_clean(sentence)
