"""A judge of extracts, learned from texts and their summaries.

Shape letters: N parts of all texts, F features, P features of place and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from homespun.classic.bags import BagFeatures
from homespun.classic.extracts.central import centrality
from homespun.classic.extracts.sentences import candidates
from homespun.classic.store import are_names, load_parts, save_parts
from homespun.classic.units import count_han, text_units
from homespun.core import ConfigError, DataError

sparse: Any = scipy.sparse  # it has no types
Likeness = Callable[[str, str], float]
Floats = NDArray[np.float64]
_PENALTY = 3.0


class ExtractRanker:
    """Chooses the part of a text that is most like a summary of it.

    Every candidate (`candidates`) is a row of what it says (TF-IDF), where it stands, how long it
    is, and how central; ridge regression foretells how alike it is to the summary that a person
    wrote. The oracle that it is taught by is as old as Kupiec et al. 1995.

    Args:
        penalty: of squared weights.
    """

    def __init__(self, *, penalty: float = _PENALTY) -> None:
        self.penalty = penalty
        self.features_ = BagFeatures(parts=False, fewest=3, most_features=1 << 15)
        self._weight_F: Floats | None = None
        self._bias = 0.0
        self._length = 0.0

    def fit(
        self, texts: Sequence[str], summaries: Sequence[Sequence[str]], likeness: Likeness
    ) -> Self:
        """Learn.

        Args:
            texts: to be summarised.
            summaries: of each text one or several.
            likeness: of a summary and a candidate, 0 … 1.

        Raises:
            DataError: there is no text, or not a summary for each.
        """
        if not texts or len(texts) != len(summaries) or not all(summaries):
            raise DataError(
                "there must be a summary for each text",
                got=(len(texts), sum(map(bool, summaries))),
                remedy="take out texts without one",
            )
        lengths = [len(text_units(summary)) for several in summaries for summary in several]
        self._length = float(np.mean(lengths))
        parts = [candidates(text) or [text] for text in texts]
        self.features_.fit([part for some in parts for part in some])
        rows = sparse.vstack(
            [self._rows(text, some) for text, some in zip(texts, parts, strict=True)]
        )
        aims_N = np.array(
            [
                max(likeness(summary, part) for summary in several)
                for some, several in zip(parts, summaries, strict=True)
                for part in some
            ]
        )
        import sklearn.linear_model

        models: Any = sklearn.linear_model
        model = models.Ridge(alpha=self.penalty, solver="lsqr").fit(rows, aims_N)
        self._weight_F, self._bias = np.asarray(model.coef_, np.float64), float(model.intercept_)
        return self

    def best(self, text: str, num: int = 1) -> str:
        """The parts that are held most like a summary, in the order of the text; of parts that lie
        in one another only one. The text where it has no parts.

        Raises:
            ConfigError: before `fit`, or `num` is below 1.
        """
        if self._weight_F is None:
            raise ConfigError("ExtractRanker was not fitted", remedy="call fit first")
        if num < 1:
            raise ConfigError("an extract has one part at least", got=num, remedy="take 1")
        parts = candidates(text) or [text]
        scores_N = np.asarray(self._rows(text, parts).dot(self._weight_F)).ravel()
        chosen: list[int] = []
        for number in np.argsort(-scores_N, kind="stable").tolist():
            if len(chosen) == num:
                break
            if not any(_share(parts[number], parts[other]) for other in chosen):
                chosen.append(number)
        # Clauses put together need not stand in the text as they are: their first one does.
        places = {n: text.find(parts[n].split("，")[0]) for n in chosen}
        mark = "。" if 3 * count_han(text) > len(text) else " "
        told = [parts[n] for n in sorted(chosen, key=lambda n: (places[n], n))]
        if mark == " " or len(told) == 1:
            return mark.join(told)
        return mark.join(part.rstrip("。") for part in told) + mark

    def save(self, folder: Path) -> None:
        """Write it. Raises ConfigError before `fit`, RunError where it cannot be written."""
        if self._weight_F is None:
            raise ConfigError("ExtractRanker was not fitted", remedy="call fit first")
        record = {
            "settings": {"penalty": self.penalty},
            "bias": self._bias,
            "length": self._length,
            "vocabulary": list(self.features_.vocabulary_),
        }
        save_parts(
            folder, "extracts", record, {"weight": self._weight_F, "idf": self.features_.idf_F}
        )

    @classmethod
    def load(cls, folder: Path) -> ExtractRanker:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "extracts", _check, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> ExtractRanker:
        found = cls(**record["settings"])
        found._bias, found._length = float(record["bias"]), float(record["length"])
        found.features_.vocabulary_ = {name: n for n, name in enumerate(record["vocabulary"])}
        found.features_.idf_F, found._weight_F = arrays["idf"], arrays["weight"]
        return found

    def _rows(self, text: str, parts: Sequence[str]) -> Any:
        said = self.features_.transform(list(parts))
        return sparse.hstack([said, self._places(text, parts)]).tocsr()

    def _places(self, text: str, parts: Sequence[str]) -> Any:
        """(N, P): what is not a matter of words."""
        whole, ended = set(text_units(text)), text.rstrip()
        ranks = centrality(parts) * len(parts)
        rows = []
        for part, rank in zip(parts, ranks, strict=True):
            place = max(0, text.find(part.split("，")[0])) / max(1, len(text))
            units = text_units(part)
            ratio = math.log((1 + len(units)) / (1 + self._length))
            rows.append(
                [
                    1.0 if place == 0 else 0.0,
                    place,
                    place * place,
                    1.0 if ended.endswith(part) else 0.0,
                    ratio,
                    ratio * ratio,
                    abs(ratio),
                    len(set(units) & whole) / max(1, len(whole)),
                    float(rank),
                ]
            )
        return sparse.csr_matrix(np.array(rows, dtype=np.float64))


def _share(one: str, other: str) -> bool:
    """Whether a clause of one stands in the other."""
    mine, theirs = (set(part.strip("。！？；").split("，")) for part in (one, other))
    return bool(mine & theirs) or one in other or other in one


def _check(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    size = len(record["vocabulary"])
    return (
        are_names(record["vocabulary"])
        and size > 0
        and arrays["idf"].shape == (size,)
        and arrays["weight"].shape == (size + 9,)
    )
