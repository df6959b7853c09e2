"""Pairs that a writer keeps, to look up what stood beside texts like the one it reads.

Two ways to use them. Known: tokens of the nearest pairs' targets are trusted where the writer is in
nearly the same state, see `known`. Read along (Bulte & Tezcan 2019, "Neural fuzzy repair", ACL
2019; Xu, Crego & Senellart 2020, "Boosting neural machine translation with similar translations",
ACL 2020): the encoder reads the nearest pairs' targets behind the text itself, and the writer
learns to take over what fits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from homespun.classic import FuzzyIndex
from homespun.core import ConfigError, DataError, derive_seed
from homespun.core.files import json_lines, read_jsonl, write_text
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import read_option
from homespun.recipes.applications.splitting import folded
from homespun.recipes.applications.translate.task import Pair

REMEMBERING: Mapping[str, str] = {"memory": "0", "near": "0.2", "known": "0"}
"""Settings: targets that are read along and how near their sources must be; pairs whose tokens are
known."""
_FILE = "memory.jsonl"
_REMEDY = "put the file back, or learn the task again"
_UNAIDED = 0.1
"""Share of the pairs that are learned without help, so that nothing found is nothing strange."""


class Recall:
    """A translation memory.

    Args:
        pairs: sources and targets.
        most: targets that are recalled of a text; may be 0.
        least: how near their sources must be, see `FuzzyIndex`.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], *, most: int, least: float) -> None:
        self._pairs = list(pairs)
        self.most, self._least = most, least

    @property
    def record(self) -> dict[str, Any]:
        """What `load` must be told."""
        return {"pairs": len(self._pairs), "most": self.most, "least": self._least}

    def recalled(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Targets of the pairs nearest to each text, the nearest first."""
        return self._found(texts, None)

    def alike(self, texts: Sequence[str], num: int) -> list[list[int]]:
        """Numbers of the `num` pairs whose sources have most in common with each text."""
        return self._index.alike(texts, num)

    def some(self, numbers: Sequence[int]) -> list[Pair]:
        """Some of the pairs."""
        return [Pair(source, (target,)) for source, target in map(self._pairs.__getitem__, numbers)]

    def taught(self, seed: int) -> list[tuple[str, ...]]:
        """What each of the pairs is learned with.

        None finds itself, nor a pair with the same source or the same target: it would learn to
        copy, and only that. A tenth, drawn by `seed`, find nothing.
        """
        found = self._found([source for source, _ in self._pairs], _Alike(self._pairs))
        draw = np.random.Generator(np.random.PCG64(derive_seed(seed, "unaided")))
        is_unaided = draw.random(len(found)) < _UNAIDED
        return [() if alone else some for alone, some in zip(is_unaided, found, strict=True)]

    def save(self, folder: Path) -> None:
        write_pairs(folder, self._pairs)

    @classmethod
    def load(cls, folder: Path, record: Mapping[str, Any]) -> Recall:
        """What `save` left. Raises DataError where it is missing or damaged.

        Args:
            record: as `record` told it.
        """
        path, pairs = folder / _FILE, read_pairs(folder)
        try:
            recall = cls(pairs, most=int(record["most"]), least=float(record["least"]))
            wanted = int(record["pairs"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged", remedy=_REMEDY) from error
        if len(pairs) != wanted:
            raise DataError(
                f"{path} is damaged: it should have {wanted:,} pairs",
                got=len(pairs),
                remedy=_REMEDY,
            )
        return recall

    def _found(
        self, texts: Sequence[str], without: Sequence[Collection[int]] | None
    ) -> list[tuple[str, ...]]:
        found = self._index.nearest(texts, most=self.most, least=self._least, without=without)
        # Two sources may have one target, which says nothing new the second time.
        return [tuple(dict.fromkeys(self._pairs[near.number][1] for near in row)) for row in found]

    @cached_property
    def _index(self) -> FuzzyIndex:
        return FuzzyIndex([source for source, _ in self._pairs])


class _Alike(Sequence[Collection[int]]):
    """Of each pair the numbers of all that have its source or its target, itself among them. Told
    when they are asked for: of N pairs with one target, as "Yes." of talks, there are N times N."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._names = [(folded(source), folded(target)) for source, target in pairs]
        self._groups: tuple[dict[str, list[int]], dict[str, list[int]]] = {}, {}
        for number, names in enumerate(self._names):
            for group, name in zip(self._groups, names, strict=True):
                group.setdefault(name, []).append(number)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: Any) -> Any:
        source, target = self._names[number]
        return [*self._groups[0][source], *self._groups[1][target]]


def write_pairs(folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Sources and targets, for `read_pairs`."""
    rows = ({"source": source, "target": target} for source, target in pairs)
    write_text(folder / _FILE, json_lines(rows))


def read_pairs(folder: Path) -> list[tuple[str, str]]:
    """What `write_pairs` left. Raises DataError where it is missing or damaged."""
    path = folder / _FILE
    if not path.is_file():
        raise DataError(f"{path} is missing, in which this model looks up pairs", remedy=_REMEDY)
    try:
        return [(str(row["source"]), str(row["target"])) for row in read_jsonl(path)]
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged", remedy=_REMEDY) from error


def num_recalled(options: Mapping[str, str]) -> int:
    """Targets that the user wants recalled of a text. Raises ConfigError where it is no number."""
    return int(read_option(options, "memory", int, low=0, high=8))


def num_known(options: Mapping[str, str]) -> int:
    """Pairs whose tokens the user wants known beside a text. Raises ConfigError where it is no
    number."""
    return int(read_option(options, "known", int, low=0, high=1000))


def recall_of(lesson: Lesson[Pair]) -> Recall | None:
    """The pairs of a lesson as a memory, which is left in its folder; None where the user wants
    none, neither to be read along nor to be known. Held-out pairs are not in it.

    Raises:
        ConfigError: a setting is out of range, or goes with no memory.
    """
    most = num_recalled(lesson.options)
    least = read_option(lesson.options, "near", float, low=0.0, high=1.0)
    if not most and not num_known(lesson.options):
        return None
    if most and read_option(lesson.options, "coverage", float, low=0.0, high=10.0):
        raise ConfigError(
            "a memory goes with no penalty for what was read and left out: most of what is "
            "recalled should be left out",
            got=f"coverage={lesson.options['coverage']}",
            remedy="leave coverage or memory out",
        )
    pairs = [(pair.source, pair.targets[0]) for pair in lesson.train]
    recall = Recall(pairs, most=most, least=least)
    recall.save(lesson.folder)
    return recall
