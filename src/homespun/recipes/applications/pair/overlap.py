"""What two texts have in common, weighed by a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.classic.store import are_names, load_parts, save_parts
from homespun.classic.tagging.sentiment import NEGATIONS, NEGATIONS_ZH, spelt_out
from homespun.classic.units import text_units
from homespun.core import DataError
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.pair.task import Relation, TwoTexts, are_numbers

_NEGATIONS = NEGATIONS | NEGATIONS_ZH


class Overlap(Method[TwoTexts, Relation]):
    """Shares of common words and pairs of words, lengths, and whether one side denies."""

    name = "overlap"
    summary = "Words both texts have, lengths and negation, in a linear model."

    def learn(self, lesson: Lesson[TwoTexts]) -> LearnedOverlap:
        import sklearn.linear_model

        models: Any = sklearn.linear_model
        examples = [*lesson.train, *lesson.dev]
        rows_NF = np.array([common(e.first, e.second) for e in examples])
        mean_F, scale_F = rows_NF.mean(0), rows_NF.std(0) + 1e-9
        rows_NF = (rows_NF - mean_F) / scale_F
        if are_numbers(examples):
            aims = np.array([float(e.relation or 0.0) for e in examples])
            model = models.Ridge().fit(rows_NF, aims)
            labels, weight_CF = [], np.atleast_2d(model.coef_)
        else:
            names = [str(example.relation) for example in examples]
            if len(set(names)) < 2:
                raise DataError(
                    "there must be two relations at least",
                    got=sorted(set(names)),
                    remedy="give rows of another relation",
                )
            model = models.LogisticRegression(max_iter=1000).fit(rows_NF, names)
            labels, weight_CF = [str(name) for name in model.classes_], model.coef_
        arrays = {
            "weight": np.asarray(weight_CF),
            "bias": np.atleast_1d(np.asarray(model.intercept_)),
            "mean": mean_F,
            "scale": scale_F,
        }
        save_parts(lesson.folder, "overlap", {"labels": labels}, arrays)
        return LearnedOverlap(labels, arrays)

    def load(self, folder: Path) -> LearnedOverlap:
        def make(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LearnedOverlap:
            return LearnedOverlap(record["labels"], arrays)

        return load_parts(folder, "overlap", _is_whole, make)


class LearnedOverlap:
    def __init__(self, labels: Sequence[str], arrays: dict[str, NDArray[Any]]) -> None:
        self._labels, self._arrays = list(labels), arrays

    def answer(self, examples: Sequence[TwoTexts]) -> list[Relation]:
        found = []
        for example in examples:
            row_F = np.array(common(example.first, example.second))
            row_F = (row_F - self._arrays["mean"]) / self._arrays["scale"]
            scores_C = self._arrays["weight"] @ row_F + self._arrays["bias"]
            if not self._labels:
                found.append(Relation(float(scores_C[0])))
                continue
            if len(scores_C) == 1:
                scores_C = np.array([0.0, scores_C[0]])
            likely_C = np.exp(scores_C - scores_C.max())
            likely_C /= likely_C.sum()
            best = int(likely_C.argmax())
            found.append(Relation(self._labels[best], float(likely_C[best])))
        return found


def common(first: str, second: str) -> list[float]:
    """Numbers that tell how two texts overlap."""
    a, b = text_units(spelt_out(first)), text_units(spelt_out(second))
    one, two = set(a), set(b)
    pairs_a, pairs_b = set(pairwise(a)), set(pairwise(b))
    both = len(one & two)
    return [
        both / max(1, len(one)),
        both / max(1, len(two)),
        both / max(1, len(one | two)),
        len(pairs_a & pairs_b) / max(1, len(pairs_b)),
        float(np.log1p(len(a))),
        float(np.log1p(len(b))),
        abs(len(a) - len(b)) / max(1, len(a) + len(b)),
        float(bool(one & _NEGATIONS) != bool(two & _NEGATIONS)),
        float(first == second),
    ]


_NUM = len(common("", ""))


def _is_whole(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    labels = record["labels"]
    rows = len(labels) if len(labels) > 2 else 1
    return (
        len(labels) != 1
        and are_names(labels)
        and arrays["mean"].shape == arrays["scale"].shape == (_NUM,)
        and arrays["weight"].shape == (rows, _NUM)
        and arrays["bias"].shape == (rows,)
    )
