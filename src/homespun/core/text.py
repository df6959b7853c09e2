"""Text in normal form, whatever the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby
from typing import Any

import regex

_MANY_MARKS = 512
_search: Callable[[str, str], Any] = regex.search
_replace: Callable[[str, Callable[[re.Match[str]], str], str], str] = regex.sub


def nfc(text: str) -> str:
    """NFC (Unicode, annex 15), in time that grows with the text.

    Python puts the combining marks behind a letter in order by insertion, which takes the square of
    their number: two million of them, a request of 4 MB, take it an hour, in which nothing else is
    done. So long runs are put in order before.
    """
    # Whatever has a run of so many has one of them at one of these places.
    if len(text) >= _MANY_MARKS and _search(r"\p{M}", text[_MANY_MARKS - 1 :: _MANY_MARKS]):
        text = _replace(rf"\p{{M}}{{{_MANY_MARKS},}}", _in_order, text)
    return unicodedata.normalize("NFC", text)


def _in_order(run: re.Match[str]) -> str:
    """Combining marks in canonical order (Unicode, definition D109): the same text."""
    marks = [part for mark in run[0] for part in unicodedata.normalize("NFD", mark)]
    ordered: list[str] = []
    for moves, group in groupby(marks, key=lambda mark: unicodedata.combining(mark) > 0):
        same = list(group)
        ordered += sorted(same, key=unicodedata.combining) if moves else same
    return "".join(ordered)
