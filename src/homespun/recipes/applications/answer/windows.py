"""A question and parts of a long passage as rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from homespun.recipes.applications.answer.task import Question
from homespun.tokenizer.pieces import PieceTokenizer

_SHARED = 2
"""Type of a passage's token that stands in the question too, for encoders that tell three."""


def most_asked(most: int) -> int:
    """Tokens of a question that are read, marks included, in rows of `most`."""
    return most // 2


class Window(NamedTuple):
    """Attributes:
    ids, types: of `[CLS] question [SEP] part [SEP]`; types are 1 in the part, the mark behind it
        is 0 again, so that no answer ends there.
    offsets: of each token in the passage, in code points; (0, 0) outside the part.
    """

    ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]


def windows_of(
    question: Question, tokenizer: PieceTokenizer, *, most: int, num_types: int
) -> Iterator[Window]:
    """The passage in parts that overlap by half; one where it fits.

    Args:
        most: tokens of a row, marks included; half of them at most are the question's.
        num_types: that the encoder tells apart; with three, words the question shares are marked.
    """
    asked = tokenizer.encode(question.question, most=most_asked(most))
    passage = tokenizer.encode(question.passage)
    ids, offsets = passage.ids[1:-1], passage.offsets[1:-1]
    ahead = [*asked.ids, *tokenizer.between]
    room = most - len(ahead) - 1
    known = set(asked.ids[1:-1])
    start = 0
    while True:
        part = ids[start : start + room]
        types = [_SHARED if num_types > 2 and token in known else 1 for token in part]
        yield Window(
            [*ahead, *part, tokenizer.end_id],
            [0] * len(ahead) + types + [0],
            [(0, 0)] * len(ahead) + offsets[start : start + room] + [(0, 0)],
        )
        if start + room >= len(ids):
            return
        start += max(1, room // 2)


def target_of(window: Window, start: int, stop: int) -> tuple[int, int]:
    """Places of the tokens that hold code points start … stop-1 of the passage; (0, 0) where they
    are not all in the window."""
    inside = [
        place
        for place, (a, b) in enumerate(window.offsets)
        if window.types[place] > 0 and a < stop and b > start
    ]
    if not inside:
        return 0, 0
    first, last = inside[0], inside[-1]
    whole = window.offsets[first][0] <= start and window.offsets[last][1] >= stop
    return (first, last) if whole else (0, 0)
