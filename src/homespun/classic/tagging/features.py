"""What a CRF sees of a word or a character: named lists of strings for each position.

`words` for spaced scripts, `characters` for Chinese by the character, `mixed` for words of either
script, `placed` for characters that carry their place in a word ("科0", "技1"), as some corpora do.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

Extractor = Callable[[Sequence[str]], list[list[str]]]
_EDGE = "\x02"  # no text has it


def word_shape(word: str) -> str:
    """Its kinds of characters, runs shortened to two: "McDonald's-9" gives "XxXxx'x-d"."""
    shape: list[str] = []
    for character in word:
        kind = _kind(character)
        if len(shape) < 2 or shape[-1] != kind or shape[-2] != kind:
            shape.append(kind)
    return "".join(shape)


def _kind(character: str) -> str:
    if character.isdecimal():
        return "d"
    if "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf":
        return "c"
    # Names have such characters: those of extension B on, and the compatibility forms.
    if character >= "\U00020000" or "\uf900" <= character <= "\ufaff":
        return "c" if character.isalpha() else character
    if character.isupper():
        return "X"
    if character.isalpha():
        return "x"
    return character


_DIGITS = "0123456789零〇一二三四五六七八九十百千万亿萬億两兩"
_DATES = "年月日时分秒時號号"


def character_type(character: str) -> str:
    """One letter: n number, t unit of time, p punctuation, l letter, c Chinese, o other."""
    if character in _DIGITS or character.isdecimal():
        return "n"
    if character in _DATES:
        return "t"
    category = unicodedata.category(character[0]) if character else "Zs"
    if category[0] in "PS":
        return "p"
    if _kind(character[0]) == "c":
        return "c"
    return "l" if category[0] == "L" else "o"


def word_features(sentence: Sequence[str]) -> list[list[str]]:
    """Word, lower case, affixes to four letters, shape, and two neighbours on each side."""
    lowers = [word.lower() for word in sentence]
    shapes = [word_shape(word) for word in sentence]
    rows = []
    for at, word in enumerate(sentence):
        lower = lowers[at]
        before, after = _near(lowers, at, -1), _near(lowers, at, 1)
        row = ["1", f"w={word}", f"l={lower}", f"s={shapes[at]}", f"n={min(len(word), 12)}"]
        row += [f"p{n}={lower[:n]}" for n in range(1, 5) if len(lower) > n]
        row += [f"e{n}={lower[-n:]}" for n in range(1, 6) if len(lower) > n]
        row += [f"-1={before}", f"+1={after}", f"-1,0={before} {lower}", f"0,1={lower} {after}"]
        row += [f"-2={_near(lowers, at, -2)}", f"+2={_near(lowers, at, 2)}"]
        row += [f"-1e={before[-3:]}", f"+1e={after[-3:]}", f"-1,1={before} {after}"]
        row += [f"-1s={_near(shapes, at, -1)}", f"+1s={_near(shapes, at, 1)}"]
        row += [f"ss={_near(shapes, at, -1)} {shapes[at]} {_near(shapes, at, 1)}"]
        if at == 0 or sentence[at - 1] in (".", "!", "?", ":", '"', "“"):
            row.append(f"first={shapes[at]}")
        marks = [f"has{mark}" for mark in "-./@:'" if mark in word and len(word) > 1]
        rows.append(row + marks + (["digit"] if any(map(str.isdecimal, word)) else []))
    return rows


def mixed_features(sentence: Sequence[str]) -> list[list[str]]:
    """`word_features` with what tells Chinese words: each character, the length, reduplication."""
    rows = word_features(sentence)
    for word, row in zip(sentence, rows, strict=True):
        row += [f"has={character}" for character in sorted(set(word[1:-1]))]
        row.append(f"len={min(len(word), 6)}")
        row.append(f"p1={word[:1]}")
        row.append(f"e1={word[-1:]}")
        row.append("types=" + "".join(character_type(c) for c in word[:4]))
        if len(word) > 1 and word[0] == word[1]:
            row.append("double")
        if len(word) > 1 and word[: len(word) // 2] == word[(len(word) + 1) // 2 :]:
            row.append("again")
    return rows


def character_features(sentence: Sequence[str]) -> list[list[str]]:
    """Characters two to each side, their pairs and triples, types, and whether they repeat.

    After Low, Ng & Guo 2005, section 2 (templates) with types and repeats of Tseng et al. 2005.
    """
    types = [character_type(character) for character in sentence]
    rows = []
    for at in range(len(sentence)):
        b, a, c, d, e = (_near(sentence, at, by) for by in (-2, -1, 0, 1, 2))
        row = ["1", f"0={c}", f"-1={a}", f"+1={d}", f"-2={b}", f"+2={e}"]
        row += [f"-1,0={a}{c}", f"0,1={c}{d}", f"-1,1={a} {d}", f"-2,-1={b}{a}", f"1,2={d}{e}"]
        row += [f"-1,0,1={a}{c}{d}", f"-2..0={b}{a}{c}", f"0..2={c}{d}{e}"]
        near = "".join(_near(types, at, by) for by in (-1, 0, 1))
        row += [f"t={types[at]}", f"ttt={near}"]
        row.append("t5=" + _near(types, at, -2) + near + _near(types, at, 2))
        row += [name for name, same in (("=-1", c == a), ("=-2", c == b), ("=+1", c == d)) if same]
        rows.append(row)
    return rows


def placed_features(sentence: Sequence[str]) -> list[list[str]]:
    """`character_features` of characters that end in a digit, their place in a word, and words."""
    characters = [item[:-1] or item for item in sentence]
    places = [item[-1:] if len(item) > 1 else "0" for item in sentence]
    rows = character_features(characters)
    starts = [at for at, place in enumerate(places) if place == "0" or at == 0]
    bounds = [*starts, len(sentence)]
    words = ["".join(characters[a:b]) for a, b in itertools.pairwise(bounds)]
    for number, word in enumerate(words):
        before, after = _near(words, number, -1), _near(words, number, 1)
        for at in range(bounds[number], bounds[number + 1]):
            place = f"{at - bounds[number]}/{len(word)}"
            row = rows[at]
            row += [f"w={word}", f"w-1={before}", f"w+1={after}", f"at={place}"]
            row += [f"w@={word} {place}", f"e={word[-1]} {place}", f"b={word[0]} {place}"]
            row += [f"0@={characters[at]} {place}", f"w-1,0={before} {word}"]
            row += [f"w0,1={word} {after}"]
    return rows


def _near(items: Sequence[str], at: int, by: int) -> str:
    return items[at + by] if 0 <= at + by < len(items) else _EDGE


EXTRACTORS: Final[dict[str, Extractor]] = {
    "words": word_features,
    "characters": character_features,
    "mixed": mixed_features,
    "placed": placed_features,
}
