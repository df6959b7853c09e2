"""Words and their vectors: what is near, what is to c as b is to a, and where all this is kept.

Shape letters: V words, D width, P picked words.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors import store
from homespun.core import ConfigError, DataError, RequestError
from homespun.core.text import nfc

Method = Literal["add", "mul"]
"""3CosAdd or 3CosMul."""

_SEARCHED = 20_000
"""Words, the commonest first, that are looked through for one that was meant."""
MUL_EPSILON = 1e-3
"""Keeps 3CosMul from dividing by 0 (Levy & Goldberg 2014, equation 4)."""


class WordVectors:
    """Words, each with a vector. A word that is asked for is looked up as it is written, and where
    it has no vector so, in small letters.

    Args:
        words: each once.
        vectors_VD: finite; kept as float32.

    Raises:
        DataError: a word comes twice, the shapes differ, or a number is not finite.
    """

    def __init__(self, words: Sequence[str], vectors_VD: NDArray[np.floating]) -> None:
        self.words = tuple(words)
        self.vectors_VD = np.ascontiguousarray(vectors_VD, np.float32)
        self.index = {word: number for number, word in enumerate(self.words)}
        if self.vectors_VD.ndim != 2 or len(self.vectors_VD) != len(self.words):
            raise DataError(
                "there is not one vector for each word",
                got=f"{len(self.words)} words, vectors of shape {self.vectors_VD.shape}",
                remedy="give an array of shape (words, width)",
            )
        if len(self.index) != len(self.words):
            raise DataError(
                "a word comes twice",
                got=next(w for at, w in enumerate(self.words) if self.index[w] != at),
                remedy="give each word once",
            )
        if not np.isfinite(self.vectors_VD).all():
            raise DataError("a vector is not finite", remedy="train with a smaller rate")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """The vector, shape (D,). Raises RequestError where the word has none."""
        vector: NDArray[np.float32] = self.vectors_VD[self._number(word)]
        return vector

    @property
    def dim(self) -> int:
        return int(self.vectors_VD.shape[1])

    @cached_property
    def unit_VD(self) -> NDArray[np.float32]:  # noqa: N802 - shape letters
        """The vectors at length 1; zero stays zero."""
        return _unit(self.vectors_VD)

    def similarity(self, first: str, second: str) -> float:
        """Cosine of two words. Raises RequestError where one has no vector."""
        return float(self.unit_VD[self._number(first)] @ self.unit_VD[self._number(second)])

    def nearest(self, query: str | NDArray[np.floating], num: int = 10) -> list[tuple[str, float]]:
        """The `num` words of greatest cosine, the nearest first; a word itself is left out.

        Args:
            query: a word, or a vector of shape (D,).

        Raises:
            RequestError: the word has no vector, or the vector has another width.
        """
        if isinstance(query, str):
            number = self._number(query)
            return self._best(self.unit_VD @ self.unit_VD[number], num, {number})
        if query.shape != (self.dim,):
            raise RequestError(
                "the vector has another width",
                got=query.shape,
                remedy=f"give one of shape ({self.dim},)",
            )
        unit = _unit(np.asarray(query, np.float32)[None])[0]
        return self._best(self.unit_VD @ unit, num, set())

    def analogy(
        self, a: str, b: str, c: str, *, num: int = 10, method: Method = "add"
    ) -> list[tuple[str, float]]:
        """Words that are to `c` as `b` is to `a`, without these three, and their scores.

        "add" scores cos(d, b) - cos(d, a) + cos(d, c), the cosine up to a factor (Mikolov et al.
        2013c); "mul" is cos(d, b) cos(d, c) / (cos(d, a) + 0.001) of cosines moved to 0..1
        (Levy & Goldberg 2014).

        Raises:
            RequestError: a word has no vector.
            ConfigError: no such method.
        """
        numbers = [self._number(word) for word in (a, b, c)]
        scores_1V = self.analogy_scores(np.array([numbers]), method)
        return self._best(scores_1V[0], num, set(numbers))

    def analogy_scores(
        self, numbers_P3: NDArray[np.integer], method: Method
    ) -> NDArray[np.float32]:
        """Scores of all words, shape (P, V), for word numbers a, b, c, shape (P, 3)."""
        a_PD, b_PD, c_PD = (self.unit_VD[numbers_P3[:, at]] for at in range(3))
        scores_PV: NDArray[np.float32]
        if method == "add":
            scores_PV = (b_PD - a_PD + c_PD) @ self.unit_VD.T
        elif method == "mul":
            # In place: an array of all words for each question is the largest there is here.
            scores_PV = self._moved_cosines(b_PD)
            scores_PV *= self._moved_cosines(c_PD)
            divisor_PV = self._moved_cosines(a_PD)
            divisor_PV += np.float32(MUL_EPSILON)
            scores_PV /= divisor_PV
        else:
            raise ConfigError("no such method", got=method, remedy="choose add or mul")
        return scores_PV

    def _moved_cosines(self, units_PD: NDArray[np.float32]) -> NDArray[np.float32]:
        """With all words, moved from -1 … 1 to 0 … 1, shape (P, V)."""
        moved_PV: NDArray[np.float32] = units_PD @ self.unit_VD.T
        moved_PV += 1
        moved_PV /= 2
        return moved_PV

    def without_common(self, num: int | None = None) -> WordVectors:
        """The same words without what nearly all vectors have in common: their mean, and then the
        `num` directions in which they differ most (Mu & Viswanath 2018, arXiv 1702.01417).

        Such directions tell of how often words come rather than of what they mean: cosines agree
        better with people's judgement without them, analogies are answered worse.

        Args:
            num: of directions, below the width; None is one for each hundred of the width, as the
                paper has it, and one at least.

        Raises:
            ConfigError: `num` is out of range.
        """
        if num is None:
            num = min(max(1, self.dim // 100), self.dim - 1)
        if not 0 <= num < self.dim:
            raise ConfigError(
                "so many directions cannot be taken out",
                got=f"{num} of vectors of width {self.dim}",
                remedy="give 0 or more, and fewer than the width",
            )
        centred_VD = self.vectors_VD.astype(np.float64)
        centred_VD -= centred_VD.mean(0)
        _, directions_DD = np.linalg.eigh(centred_VD.T @ centred_VD)  # the largest last
        common_DN = directions_DD[:, self.dim - num :]
        return WordVectors(self.words, centred_VD - (centred_VD @ common_DN) @ common_DN.T)

    def picture(self, words: Iterable[str]) -> NDArray[np.float64]:
        """Where to draw words, shape (P, 2): the two directions in which they differ most (PCA).

        A coordinate's sign is such that its largest value by size is above 0.

        Raises:
            RequestError: a word has no vector, or there is none.
        """
        numbers = [self._number(word) for word in words]
        if not numbers:
            raise RequestError("there is no word to draw", remedy="name two or more words")
        picked_PD = self.vectors_VD[numbers].astype(np.float64)
        centred_PD = picked_PD - picked_PD.mean(axis=0)
        left_PK, sizes_K, _ = np.linalg.svd(centred_PD, full_matrices=False)
        points_P2 = np.zeros((len(numbers), 2))
        kept = min(2, len(sizes_K))
        points_P2[:, :kept] = left_PK[:, :kept] * sizes_K[:kept]
        largest_2 = points_P2[np.abs(points_P2).argmax(axis=0), np.arange(2)]
        return points_P2 * np.where(largest_2 < 0, -1.0, 1.0)

    def save(self, folder: Path) -> None:
        """Write `vectors.safetensors` and `words.json`."""
        store.save_folder(folder, self.words, self.vectors_VD)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError where it is missing or damaged."""
        return cls(*store.load_folder(folder))

    def save_text(self, path: Path) -> None:
        """Write word2vec's text format. Raises DataError for a word with a space in it."""
        store.save_text(path, self.words, self.vectors_VD)

    @classmethod
    def load_text(
        cls,
        path: Path,
        max_words: int | None = None,
        *,
        only: Callable[[str], bool] | None = None,
    ) -> Self:
        """Read word2vec's text format, or GloVe's, which has no first line of sizes.

        Args:
            path: UTF-8, a word a line.
            max_words: only so many, from the top.
            only: whether a word is wanted; None wants all. Others take no memory.

        Raises:
            DataError: the file is missing or a line is not a word and its numbers.
        """
        return cls(*store.load_text(path, max_words, only))

    def _number(self, word: str) -> int:
        """As it is written; where that has no vector, in small letters, as texts are learned."""
        number = self.index.get(word, self.index.get(nfc(word).lower()))
        if number is None:
            near = difflib.get_close_matches(word.lower(), self.words[:_SEARCHED], n=3, cutoff=0.7)
            remedy = "ask for a word that the text has often enough"
            if near:
                remedy += ", such as " + ", ".join(near)
            raise RequestError("the word has no vector", got=word, remedy=remedy)
        return number

    def _best(
        self, scores_V: NDArray[np.float32], num: int, without: Collection[int]
    ) -> list[tuple[str, float]]:
        if num < 1:
            raise RequestError("fewer than one word is asked for", got=num, remedy="ask for one")
        order = np.argsort(-scores_V, kind="stable")[: num + len(without)].tolist()
        best = [at for at in order if at not in without][:num]
        return [(self.words[at], float(scores_V[at])) for at in best]


def _unit(vectors_VD: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths_V1 = np.linalg.norm(vectors_VD, axis=1, keepdims=True)
    return (vectors_VD / np.where(lengths_V1 == 0, 1, lengths_V1)).astype(np.float32)
