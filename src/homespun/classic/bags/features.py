"""A text as a sparse row of numbers.

Shape letters: N texts, F features.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from homespun.classic.units import count_han, text_units
from homespun.core import ConfigError, DataError

sparse: Any = scipy.sparse  # it has no types
Weighting = Literal["counts", "tfidf"]
_PART_LENGTHS = (3, 4, 5)
"""Letters of parts of words: they tell what misspelt and inflected words have in common."""


class BagFeatures:
    """Learns which features there are, and makes rows of them.

    Features are units (`text_units` with punctuation: English words, single Chinese characters),
    runs of two of them, of three where they are Chinese, and with `parts` parts of English words.
    "tfidf" is `(1 + ln count) · (1 + ln((1 + N) / (1 + texts with it)))`, rows of length 1, as
    scikit-learn's `TfidfTransformer(sublinear_tf=True)` has it.

    Args:
        weighting: what the numbers are.
        parts: also parts of words.
        fewest: texts a feature must stand in.
        most_features: the commonest of them are kept.

    Attributes:
        num_left_out_: features that stand in enough texts and were not kept.
    """

    def __init__(
        self,
        *,
        weighting: Weighting = "tfidf",
        parts: bool = True,
        fewest: int = 2,
        most_features: int = 1 << 19,
    ) -> None:
        if fewest < 1 or most_features < 1:
            raise ConfigError(
                "fewest and most_features must be 1 or more",
                got=(fewest, most_features),
                remedy="take the defaults",
            )
        self.weighting, self.parts = weighting, parts
        self.fewest, self.most_features = fewest, most_features
        self.num_left_out_ = 0
        self.vocabulary_: dict[str, int] = {}
        self.idf_F: NDArray[np.float64] = np.zeros(0)

    def fit(self, texts: Sequence[str]) -> Self:
        """Raises DataError where no feature stands in enough texts."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(self.of(text)))
        kept = [(count, name) for name, count in counts.items() if count >= self.fewest]
        kept.sort(key=lambda entry: (-entry[0], entry[1]))
        self.num_left_out_ = max(0, len(kept) - self.most_features)
        kept = kept[: self.most_features]
        if not kept:
            raise DataError(
                f"no word stands in {self.fewest} texts",
                got=f"{len(texts)} texts",
                remedy="give more text",
            )
        names = sorted(name for _, name in kept)
        self.vocabulary_ = {name: number for number, name in enumerate(names)}
        in_texts_F = np.array([counts[name] for name in names], dtype=np.float64)
        self.idf_F = np.log((1 + len(texts)) / (1 + in_texts_F)) + 1
        return self

    def transform(self, texts: Sequence[str]) -> Any:
        """A scipy CSR matrix (N, F). Raises ConfigError before `fit`."""
        if not self.vocabulary_:
            raise ConfigError("BagFeatures was not fitted", remedy="call fit first")
        indices, values, starts = array("i"), array("i"), [0]
        for text in texts:
            found = Counter(self.vocabulary_.get(name, -1) for name in self.of(text))
            found.pop(-1, None)
            for place in sorted(found):
                indices.append(place)
                values.append(found[place])
            starts.append(len(indices))
        shape = (len(texts), len(self.vocabulary_))
        data = np.array(values, np.float64), np.array(indices, np.int32), np.array(starts)
        rows = sparse.csr_matrix(data, shape=shape)
        if self.weighting == "counts":
            return rows
        rows.data = 1 + np.log(rows.data)
        rows = rows.multiply(self.idf_F).tocsr()
        lengths_N = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        lengths_N[lengths_N == 0] = 1
        return sparse.diags(1 / lengths_N).dot(rows).tocsr()

    def of(self, text: str) -> Iterator[str]:
        """The features of a text, one each time they stand there."""
        units = text_units(text, punctuation=True)
        is_han = [bool(count_han(unit)) for unit in units]
        yield from units
        for at in range(len(units) - 1):
            yield f"{units[at]} {units[at + 1]}"
            if at + 2 < len(units) and is_han[at] and is_han[at + 1] and is_han[at + 2]:
                yield f"{units[at]} {units[at + 1]} {units[at + 2]}"
        if self.parts:
            for unit, han in zip(units, is_han, strict=True):
                if not han and len(unit) > 1:
                    yield from _parts(unit)


def _parts(word: str) -> Iterator[str]:
    """Parts of a word, begun and ended by a mark that no unit holds."""
    marked = f"\t{word}\t"
    for length in _PART_LENGTHS:
        for at in range(len(marked) - length + 1):
            yield f"\n{marked[at : at + length]}"
