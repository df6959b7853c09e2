"""Sentences and clauses, by their marks."""

from __future__ import annotations

import re
from itertools import pairwise

from homespun.classic.units import count_han

_ABBREVIATIONS = frozenset((
    "e.g.", "i.e.", "cf.", "vs.", "etc.", "al.", "fig.", "eq.", "mr.", "mrs.", "ms.",
    "dr.", "prof.", "st.", "approx.",
))  # fmt: skip
_NUMBER = "no."
"""An abbreviation before a number, and elsewhere a word."""
# Chinese is often written with the marks of English keyboards, and no space behind them.
_HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_END = re.compile(rf"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？；])[”’」』）]*|(?<=[!?])(?=[{_HAN}])|\n+")
_CLAUSE = re.compile(r"(?<=[,;:，；：、])\s*|\s+[-–—]\s+")


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, in order; a point behind an abbreviation or a single letter ends
    none."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        piece = text[start : match.end()]
        last = piece.split()[-1].lower().lstrip("([\"'“‘") if piece.split() else ""
        is_initial = len(last) == 2 and last[0].isalpha() and last[1] == "."
        is_number = last == _NUMBER and text[match.end() : match.end() + 1].isdigit()
        if "\n" not in match.group() and (last in _ABBREVIATIONS or is_initial or is_number):
            continue
        found.append(piece.strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def clauses_of(sentence: str) -> list[str]:
    """The parts of a sentence between commas and their like, marks at the ends left off."""
    parts = [part.strip(" ,;:，；：、。.") for part in _CLAUSE.split(sentence)]
    return [part for part in parts if part]


def candidates(text: str) -> list[str]:
    """What a summary of one sentence may be: sentences; of Chinese, where a sentence runs on for
    long, also clauses and neighbouring two of them."""
    found = dict.fromkeys(sentences_of(text))
    if 3 * count_han(text) > len(text):
        for sentence in list(found):
            clauses = clauses_of(sentence)
            found |= dict.fromkeys(clauses)
            found |= dict.fromkeys(f"{a}，{b}" for a, b in pairwise(clauses))
    return list(found)
