"""Sentences of English and Chinese text, by punctuation alone."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "zh"]

# An end mark with its closing quotes. English needs white space and a fit beginning after it;
# Chinese runs on without either. An ellipsis ends a Chinese sentence too.
_ENGLISH_END = re.compile(r"""(?<![.!?])[.!?]+["'”’)\]`*_]*\s+(?=["'“‘(\[`*_]*[A-Z0-9])""")
_CHINESE_END = re.compile(r"(?:[。！？；!?]|…+|\.{3,})+[”’」』）》\"']*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|e\.g|i\.e|etc|vs|cf|al|approx|resp|Mr|Mrs|Ms|Dr|St|Prof|Rev|Gen|Col|Capt|"
    r"Jr|Sr|No|Nos|Fig|Figs|Eq|Sec|Ch|Vol|pp|ed|Inc|Ltd|Co|U\.S|a\.m|p\.m))\.$"
)
_LONGEST_ABBREVIATION = 12
"""In characters, and more: looking no further back, it is all the same how long a paragraph is."""
_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def is_chinese(text: str) -> bool:
    """Whether Chinese characters make up at least a fifth of what is not white space."""
    visible = sum(not character.isspace() for character in text)
    return visible > 0 and len(_CJK.findall(text)) * 5 >= visible


def has_chinese(text: str) -> bool:
    return _CJK.search(text) is not None


def split_sentences(text: str, *, chinese: bool | None = None) -> list[str]:
    """The sentences of one paragraph, white space around them taken off, in order.

    Joined again (with a space for English, nothing for Chinese) they give the paragraph, apart
    from white space. Line breaks inside a paragraph count as spaces (English) or nothing.
    """
    chinese = is_chinese(text) if chinese is None else chinese
    if chinese:
        flat = re.sub(r"\s*\n\s*", "", text.strip())
        ends = [match.end() for match in _CHINESE_END.finditer(flat)]
    else:
        flat = " ".join(text.split())
        ends = [
            match.end()
            for match in _ENGLISH_END.finditer(flat)
            if not _is_abbreviation(flat, match.start() + 1)
        ]
    sentences = []
    start = 0
    for end in [*ends, len(flat)]:
        if sentence := flat[start:end].strip():
            sentences.append(sentence)
        start = end
    return sentences


def _is_abbreviation(text: str, end: int) -> bool:
    """Whether what ends at `end`, with its full stop, is one."""
    return _ABBREVIATION.search(text[max(0, end - _LONGEST_ABBREVIATION) : end]) is not None
