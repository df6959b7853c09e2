"""Word and character error rates, and the edit distance they count.

The distance is computed a column at a time with the bits of one Python integer (Myers 1999 in the
form of Hyyrö 2003): for each unit of the one text a dozen operations on integers as wide as the
other text is long, without any loop over cells. `edit_distance_reference` is the table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np

from homespun.core import DataError
from homespun.evaluation.metrics.statistics import (
    Statistics,
    check_lengths,
    join_signature,
    ratio_statistics,
)


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    if len(first) < len(second):
        first, second = second, first
    if not second:
        return len(first)
    places: dict[Hashable, int] = {}
    for at, unit in enumerate(first):
        places[unit] = places.get(unit, 0) | 1 << at
    full = (1 << len(first)) - 1
    last = 1 << len(first) - 1
    # Bits of one column of the table: where it is one more, or one less, than a row above.
    more, less = full, 0
    distance = len(first)
    for unit in second:
        match = places.get(unit, 0)
        level = (((match & more) + more) ^ more) | match | less
        right_more = less | (full & ~(level | more))
        right_less = level & more
        if right_more & last:
            distance += 1
        elif right_less & last:
            distance -= 1
        right_more = (right_more << 1 | 1) & full
        right_less = (right_less << 1) & full
        more = right_less | (full & ~(level | right_more))
        less = right_more & level
    return distance


def edit_distance_reference(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The same by the table of all cells (Wagner & Fischer 1974)."""
    row = list(range(len(second) + 1))
    for i, unit in enumerate(first, start=1):
        above, row = row, [i]
        for j, other in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (unit != other)))
    return row[-1]


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> Statistics:
    """Edits a word of the reference; may exceed 1. Words are what stands between white space.

    Nothing is normalised but Unicode (NFC): lower-case both sides first where case should not
    count. For Chinese take `character_error_rate`.

    Raises:
        DataError: numbers differ, or no reference has a word.
    """
    ours, theirs = ([_nfc(text).split() for text in texts] for texts in (hypotheses, references))
    return _error_rate("word error rate", ours, theirs, join_signature(unit="word", norm="nfc"))


def character_error_rate(
    hypotheses: Sequence[str], references: Sequence[str], *, count_spaces: bool = True
) -> Statistics:
    """Edits a character (code point) of the reference; may exceed 1.

    Args:
        hypotheses, references: N texts each.
        count_spaces: whether white space inside counts, a run of it as one; at the ends it never
            does. Take False for Chinese, where it means nothing.

    Raises:
        DataError: numbers differ, or no reference has a character.
    """
    joint = " " if count_spaces else ""
    ours, theirs = (
        [joint.join(_nfc(text).split()) for text in texts] for texts in (hypotheses, references)
    )
    signature = join_signature(unit="char", norm="nfc", space="yes" if count_spaces else "no")
    return _error_rate("character error rate", ours, theirs, signature)


def _error_rate(
    name: str,
    ours: Sequence[Sequence[str]],
    theirs: Sequence[Sequence[str]],
    signature: str,
) -> Statistics:
    check_lengths(hypotheses=ours, references=theirs)
    sizes_N = np.array([len(units) for units in theirs], dtype=np.float64)
    if not sizes_N.any():
        raise DataError(f"the {name} needs a reference with something in it", got=len(theirs))
    edits_N = np.array(
        [edit_distance(*pair) for pair in zip(ours, theirs, strict=True)], dtype=np.float64
    )
    return ratio_statistics(name, edits_N, sizes_N, signature)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
