"""Text to units: words where words are spaced, single characters where they are not."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import regex

from homespun.core.text import nfc


def _compile(pattern: str) -> Any:
    return regex.compile(pattern, regex.V1)  # type: ignore[no-untyped-call]


# V1 set arithmetic: letters and digits without the scripts that are written unspaced.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}"
_HAN = _compile(r"\p{Han}")
_WORDS = _compile(rf"[{_UNSPACED}]|[[\p{{L}}\p{{N}}\p{{M}}_]--[{_UNSPACED}]]+")
_WORDS_AND_MARKS = _compile(
    rf"[{_UNSPACED}]|[[\p{{L}}\p{{N}}\p{{M}}_]--[{_UNSPACED}]]+|[^\s\p{{L}}\p{{N}}\p{{M}}_]"
)
# What wrapped lines of these scripts end and begin with: letters, marks and wide forms of theirs,
# and marks that other scripts have too, where the other side of the break is one of theirs.
_WIDE = rf"{_UNSPACED}\u3001-\u303f\u30fc\uff00-\uffef"
_SHARED = "“”‘’—…·"
_BREAK = r"[ \t]*\r?\n[ \t]*"
_WRAP = _compile(
    rf"(?<=[{_WIDE}]){_BREAK}(?=[{_WIDE}{_SHARED}])|(?<=[{_SHARED}]){_BREAK}(?=[{_WIDE}])"
)
# Letters that an underscore may belong to, and an underscore that joins none of them.
_NAME = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{_UNSPACED}]]"
_EMPHASIS = _compile(rf"(?<!{_NAME})_(?=[\p{{L}}\p{{N}}])|(?<=[\p{{L}}\p{{N}}\p{{M}}])_(?!{_NAME})")


def text_units(text: str, *, punctuation: bool = False) -> list[str]:
    """Lower-cased words of `text`; Chinese and Japanese count character by character.

    Args:
        text: any text.
        punctuation: keep every punctuation mark and symbol as a unit of its own.

    Returns:
        The units in order, in NFC, so that a word is one unit whether its accents are characters of
        their own or not: "Hello, 世界" gives ["hello", "世", "界"]. An underscore belongs to a
        name, `os_path` and `__init__`; one that only begins or ends a word is emphasis, as in
        "_must_", and left out.
    """
    pattern = _WORDS_AND_MARKS if punctuation else _WORDS
    text = nfc(text).lower()
    if "_" in text:
        text = _EMPHASIS.sub("", text)
    return [str(unit) for unit in pattern.findall(text)]


def one_line(text: str) -> str:
    """`text` without its line breaks, each white space a single blank. A line break between two
    characters of a script that is written unspaced parts no words, so nothing takes its place: a
    Chinese paragraph that was wrapped reads as it did before. Between paragraphs (a blank line, or
    one that is indented by U+3000) a blank is left.
    """
    return " ".join(_WRAP.sub("", text).split())


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether a third of the characters of the first 200 texts are Chinese."""
    some = "".join(texts[:200])
    return bool(some) and 3 * count_han(some) > len(some)


def count_han(text: str) -> int:
    """How many characters of `text` are Chinese."""
    return len(_HAN.findall(text))


def as_text(words: Iterable[str]) -> str:
    """Words with spaces between them, where neither neighbour is Chinese or a wide mark."""
    parts: list[str] = []
    for word in filter(None, words):
        if parts and not (_is_wide(parts[-1][-1]) or _is_wide(word[0])):
            parts.append(" ")
        parts.append(word)
    return "".join(parts)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
