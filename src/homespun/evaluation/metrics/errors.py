"""Word and character error rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from homespun.classic.edits import edit_distance
from homespun.core import DataError
from homespun.core.text import nfc
from homespun.evaluation.metrics.statistics import (
    Statistics,
    check_lengths,
    join_signature,
    ratio_statistics,
)


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> Statistics:
    """Edits a word of the reference; may exceed 1. Words are what stands between white space.

    Nothing is normalised but Unicode (NFC): lower-case both sides first where case should not
    count. For Chinese take `character_error_rate`.

    Raises:
        DataError: numbers differ, or no reference has a word.
    """
    ours, theirs = ([nfc(text).split() for text in texts] for texts in (hypotheses, references))
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
        [joint.join(nfc(text).split()) for text in texts] for texts in (hypotheses, references)
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
        raise DataError(
            f"the {name} needs a reference with something in it",
            got=f"{len(theirs)} empty ones",
            remedy="leave out what nothing was said in",
        )
    edits_N = np.array(
        [edit_distance(*pair) for pair in zip(ours, theirs, strict=True)], dtype=np.float64
    )
    return ratio_statistics(name, edits_N, sizes_N, signature)
