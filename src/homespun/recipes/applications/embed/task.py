"""The task: of each first text find its second one among all second ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.units import one_line
from homespun.recipes.applications.contract import Application, Measured, Method
from homespun.recipes.applications.rows import Column, cell_text

SHOWN = 10
"""Partners that are told of each text."""


class Twins(NamedTuple):
    """Attributes:
    first: what is asked.
    second: what belongs to it.
    """

    first: str
    second: str


class Partner(NamedTuple):
    """Attributes:
    rank: place of the right second text among all of them, from 1, by nearness.
    nearest: the `SHOWN` nearest, nearest first.
    """

    rank: int
    nearest: tuple[str, ...]


class Embed(Application[Twins, Partner]):
    """Share of first texts whose own second is nearest, and the mean reciprocal rank (MRR)."""

    name = "embed"
    summary = "Pairs of texts that belong together: vectors for search."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column(
            "first",
            ("question", "query", "anchor", "sentence1", "text", "title", "问题", "句子1", "标题"),
            "the text",
        ),
        Column(
            "second",
            (
                "answer",
                "passage",
                "positive",
                "sentence2",
                "abstract",
                "回答",
                "答案",
                "句子2",
                "摘要",
            ),
            "its partner",
        ),
    )
    gold: ClassVar[tuple[Column, ...]] = ()
    baselines: ClassVar[tuple[str, ...]] = ("overlap",)
    answers_together: ClassVar[bool] = True

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Twins, Partner]]]:
        return {"overlap": _overlap, "untaught": _untaught, "encoder": _encoder}

    def default_method(self, *, has_base: bool) -> str:
        return "encoder"

    def example(self, values: Mapping[str, Any]) -> Twins:
        first, second = cell_text(values["first"]), cell_text(values["second"])
        return Twins(first.strip(), second.strip())

    def key(self, example: Twins) -> str:
        return example.first

    def asked_whole(self, example: Twins) -> str:
        return f"{example.first}\n{example.second}"

    def texts_right(self, example: Twins) -> Sequence[str]:
        return (example.second,)

    def texts_read(self, example: Twins) -> Sequence[str]:
        """Also the first text: in another row it may be the second one."""
        return (example.second, example.first)

    def measure(
        self, examples: Sequence[Twins], answers: Sequence[Partner], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics.statistics import mean_statistics

        ranks_N = np.array([answer.rank for answer in answers], dtype=np.float64)
        among = f"among:{len(examples)}"
        return Measured(
            [
                mean_statistics(name, values_N, among, is_share=True)
                for name, values_N in (
                    ("found first", (ranks_N == 1).astype(np.float64)),
                    ("MRR", 1 / ranks_N),
                    ("found in ten", (ranks_N <= 10).astype(np.float64)),
                )
            ]
        )

    def shown(self, example: Twins, answer: Partner) -> dict[str, Any]:
        return {"rank": answer.rank, "nearest": list(answer.nearest)}

    def right(self, example: Twins) -> dict[str, Any]:
        return {"second": example.second}

    def plain(self, example: Twins, answer: Partner) -> str:
        return one_line(answer.nearest[0]) if answer.nearest else ""


def partners(examples: Sequence[Twins], rows: Iterable[NDArray[Any]]) -> list[Partner]:
    """Ranks from the likeness of each first text to each second one. Of equally near ones the
    right one comes last: what a method cannot tell it has not found. Copies of it count as it, and
    what belongs to a copy of the first text is right as well: it is no rival.

    Args:
        examples: N of them.
        rows: of each first text (N,) its likenesses. Made as they are read, they take no memory
            that grows with the square of N.
    """
    seconds = [example.second for example in examples]
    ids: dict[str, int] = {}
    text_N = np.array([ids.setdefault(text, len(ids)) for text in seconds])
    right: dict[str, set[int]] = {}
    for example, text in zip(examples, text_N.tolist(), strict=True):
        right.setdefault(example.first, set()).add(text)
    found = []
    for number, row_N in enumerate(rows):
        others = ~np.isin(text_N, list(right[examples[number].first]))
        rank = 1 + int((row_N[others] >= row_N[number]).sum())
        order = np.argsort(-row_N, kind="stable")[:SHOWN]
        found.append(Partner(rank, tuple(seconds[int(place)] for place in order)))
    return found


def _overlap() -> Method[Twins, Partner]:
    from homespun.recipes.applications.embed.overlap import Overlap

    return Overlap()


def _untaught() -> Method[Twins, Partner]:
    from homespun.recipes.applications.embed.encoder import Untaught

    return Untaught()


def _encoder() -> Method[Twins, Partner]:
    from homespun.recipes.applications.embed.encoder import EmbedEncoder

    return EmbedEncoder()
