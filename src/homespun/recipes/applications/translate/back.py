"""How much it counts that a text gives back what was read: chosen by held-out pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import LEAST, spaced
from homespun.recipes.applications.translate.task import Pair

if TYPE_CHECKING:
    from homespun.inference.search import Beam
    from homespun.recipes.applications.translate.writer import PairWriter

_MOST = 512
"""Held-out pairs that are written to choose."""
_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)


class _Written(NamedTuple):
    """What was written from one text.

    Attributes:
        beams: those that have ended.
        scores: by which they are ranked where what they give back does not count.
        told: how well each gives back what was read, see `told_back`.
    """

    beams: list[Beam]
    scores: list[float]
    told: list[float]

    def best(self, weight: float) -> Beam:
        def rank(at: int) -> tuple[float, tuple[int, ...]]:
            return -(self.scores[at] + weight * self.told[at]), self.beams[at].ids

        return self.beams[min(range(len(self.beams)), key=rank)]


def best_back(writer: PairWriter, lesson: Lesson[Pair]) -> float:
    """The weight by which the best texts are chosen for held-out pairs; of equally good ones the
    smallest. 0 where there is nothing to choose: with one beam, or too few pairs.

    Args:
        writer: has learned both ways.
    """
    if lesson.score is None or writer.habits.beams < 2 or len(lesson.dev) < LEAST:
        return 0.0
    asked = spaced(lesson.dev, _MOST)
    written = _written(writer, asked)
    values = {
        weight: lesson.score(asked, [writer.text_of(one.best(weight)) for one in written]).value
        for weight in _WEIGHTS
    }
    best = max(_WEIGHTS, key=lambda weight: (values[weight], -weight))
    lesson.progress.say(
        f"texts are ranked by what they give back, weighing {best:g}: "
        f"{values[best]:.4g} on {len(asked)} held-out rows, {values[0.0]:.4g} without"
    )
    return best


def _written(writer: PairWriter, pairs: list[Pair]) -> list[_Written]:
    from homespun.inference.search.reading import told_back
    from homespun.inference.search.writing import extras

    found: dict[int, _Written] = {}
    by = writer.ranking
    by = by._replace(weights=by.weights._replace(back=0.0))
    marks = {"start_id": writer.start_id, "end_id": writer.end_id}
    for number, source, search in writer.searched(pairs):
        beams = search.best(len(search.ended))
        ids = [beam.ids for beam in beams]
        more = extras(writer.model, source, ids, by)
        scores = [
            beam.score(writer.habits.length_penalty) + value
            for beam, value in zip(beams, more, strict=True)
        ]
        found[number] = _Written(beams, scores, told_back(writer.model, source, ids, **marks))
    return [found[number] for number in range(len(pairs))]
