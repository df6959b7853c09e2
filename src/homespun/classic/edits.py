"""How far two sequences are apart, counted in edits, and how much of them is common in order.

Both are computed a column at a time with the bits of one Python integer (Myers 1999 in the form of
Hyyrö 2003; Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): for each unit of the one
text a few operations on integers as wide as the other text is long, without any loop over cells.
`edit_distance_reference` and `common_length_reference` are the tables.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    if len(first) < len(second):
        first, second = second, first
    if not second:
        return len(first)
    places = _places(first)
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


def common_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest sequence whose units stand in both, in order, with gaps allowed."""
    places = _places(first)
    full = (1 << len(first)) - 1
    # Bits of one column of the table: where it is not more than a row above.
    level = full
    for unit in second:
        match = level & places.get(unit, 0)
        level = (level + match | level - match) & full
    return len(first) - level.bit_count()


def common_length_reference(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The same by the table of all cells."""
    row = [0] * (len(second) + 1)
    for unit in first:
        above, row = row, [0]
        for j, other in enumerate(second, start=1):
            row.append(above[j - 1] + 1 if unit == other else max(above[j], row[j - 1]))
    return row[-1]


def _places(sequence: Sequence[Hashable]) -> dict[Hashable, int]:
    """Where each unit stands, as bits."""
    places: dict[Hashable, int] = {}
    for at, unit in enumerate(sequence):
        places[unit] = places.get(unit, 0) | 1 << at
    return places
