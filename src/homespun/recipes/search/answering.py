"""Questions over a folder: passages are found, a reader looks into them, the best answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homespun.recipes.applications.answer import Found, Question, ReadsSeveral
from homespun.recipes.applications.contract import Learned
from homespun.recipes.search.index import Hit, PassageIndex
from homespun.recipes.search.passages import Passage


class Reply(NamedTuple):
    """Attributes:
    answer: "" where none of the passages is held to say it.
    passage: where it stands, or the nearest passage; None where nothing was found at all.
    start: of the answer in the file's text, in code points; -1 for none.
    confidence: 0 … 1, the reader's, times what the passage's rank leaves of it.
    """

    answer: str
    passage: Passage | None
    start: int
    confidence: float


def answer_over(
    index: PassageIndex,
    reader: Learned[Question, Found],
    question: str,
    *,
    num_passages: int = 5,
) -> Reply:
    """The surest answer that stands in one of the passages found, cited; a passage that was found
    later must be surer, and of more passages the surest must be surer too, where the reader says
    how much (`ReadsSeveral`)."""
    hits = index.search(question, num_passages)
    if not hits:
        return Reply("", None, -1, 0.0)
    weights = index.weights(question, len(hits))
    if isinstance(reader, ReadsSeveral):
        number, best = reader.answer_from(question, [hit.passage.text for hit in hits], weights)
        sure, passage = best.confidence * weights[number], hits[number].passage
        if not best.text:
            return Reply("", hits[0].passage, -1, sure)
        return Reply(best.text, passage, passage.start + best.start, sure)
    return _first_sure(hits, weights, reader, question)


def _first_sure(
    hits: Sequence[Hit],
    weights: Sequence[float],
    reader: Learned[Question, Found],
    question: str,
) -> Reply:
    found = reader.answer([Question(question, hit.passage.text) for hit in hits])
    sure = [one.confidence * weight for one, weight in zip(found, weights, strict=True)]
    # An answer from elsewhere, as of a like question that was learned from, has no place to cite.
    answered = [n for n, one in enumerate(found) if one.text and one.start >= 0]
    if not answered:
        return Reply("", hits[0].passage, -1, max(sure))
    at = max(answered, key=lambda number: sure[number])
    passage = hits[at].passage
    return Reply(found[at].text, passage, passage.start + found[at].start, sure[at])
