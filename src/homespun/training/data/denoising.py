"""Running text with pieces taken out, which are then to be written: what T5 and GLM learn from.

Shape letters: B rows, T tokens of a row, S read tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import ConfigError, derive_seed
from homespun.training.data.pairs import PairBatch
from homespun.training.data.tokens import IGNORED, Batch, RowSource

SHARE, MEAN_LENGTH = 0.15, 3.0
"""Of a row's tokens that are taken out, and tokens of a piece (Raffel et al. 2020, arXiv
1910.10683, section 3.1.4)."""


class Corrupted(NamedTuple):
    """A row in two parts.

    Attributes:
        kept: what is left, a mark in place of each piece.
        taken: each piece behind its mark.
    """

    kept: list[int]
    taken: list[int]


class _Denoising:
    """What both kinds share: rows of a source, and how they are cut.

    Args:
        source: rows of text; their targets are not used.
        marks: ids that stand for the first, the second … piece of a row.
        end_id: ends what is written.
        seed: of the cuts, which are others for each batch.
        share, mean_length: of what is taken out.

    Raises:
        ConfigError: the share is not between 0 and 1, pieces are shorter than a token, or there are
            no marks.
    """

    kind = ""

    def __init__(
        self,
        source: RowSource,
        *,
        marks: Sequence[int],
        end_id: int,
        seed: int,
        share: float = SHARE,
        mean_length: float = MEAN_LENGTH,
    ) -> None:
        if not 0 < share < 1 or mean_length < 1 or not marks:
            raise ConfigError(
                "pieces are a share between 0 and 1, a token long at least, and have marks",
                got=f"share={share}, mean_length={mean_length}, {len(marks)} marks",
                remedy="take 0.15 and 3",
            )
        self._source, self._marks, self._end_id = source, list(marks), end_id
        self._seed, self._share, self._mean_length = seed, share, mean_length

    @property
    def end_id(self) -> int:
        """Ends what is written."""
        return self._end_id

    def epochs(self, num_batches: int) -> float:
        return self._source.epochs(num_batches)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "of": self._source.describe(),
            "share": self._share,
            "mean_length": self._mean_length,
            "marks": len(self._marks),
            "seed": self._seed,
        }

    def _rows(self, index: int) -> list[Corrupted]:
        ids_BT = self._source.batch(index).ids_BT.numpy()
        draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "pieces", index)))
        return [
            corrupted(row_T, self._marks, draw, share=self._share, mean_length=self._mean_length)
            for row_T in ids_BT
        ]


class SpanBatches(_Denoising):
    """Span corruption (T5): an encoder-decoder reads what is left and writes what was taken out,
    each piece behind its mark."""

    kind = "spans"

    def batch(self, index: int) -> PairBatch:
        """Batch `index`; what is written begins with the end mark, as T5 begins with padding."""
        rows = self._rows(index)
        S = max(len(row.kept) for row in rows) + 1
        T = max(len(row.taken) for row in rows) + 1
        source_BS = np.zeros((len(rows), S), dtype=np.int64)
        is_source_BS = np.zeros((len(rows), S), dtype=bool)
        ids_BT = np.zeros((len(rows), T), dtype=np.int64)
        targets_BT = np.full((len(rows), T), IGNORED, dtype=np.int64)
        for number, row in enumerate(rows):
            read, written = [*row.kept, self._end_id], [*row.taken, self._end_id]
            source_BS[number, : len(read)] = read
            is_source_BS[number, : len(read)] = True
            ids_BT[number, : len(written)] = [self._end_id, *row.taken]
            targets_BT[number, : len(written)] = written
        num = int(is_source_BS.sum()) + int((targets_BT != IGNORED).sum())
        return PairBatch(
            torch.from_numpy(source_BS),
            torch.from_numpy(is_source_BS),
            torch.from_numpy(ids_BT),
            torch.from_numpy(targets_BT),
            num,
        )


class InfillingBatches(_Denoising):
    """Blank infilling on a decoder (Du et al. 2022, arXiv 2103.10360, GLM's task): a row is what is
    left, then the pieces in an order of their own, each behind its mark, and the pieces alone are
    targets. For `PrefixObjective` what is left sees itself both ways, as in GLM; `CausalObjective`
    lets a plain decoder read the same rows.

    Places are those in the row, where GLM has two for each token (its section 2.1: the place of the
    piece's mark, and the place inside the piece): marks differ here, so that a piece is told to be
    another's by what it begins with, and rotary positions are of one dimension.

    Args:
        context: tokens of a row of the result; longer ones are cut at their end.
        marks, end_id …: as above.
    """

    kind = "infilling"

    def __init__(self, source: RowSource, *, context: int, **settings: Any) -> None:
        super().__init__(source, **settings)
        self._context = context

    def _rows(self, index: int) -> list[Corrupted]:
        """One piece to as many as there are marks, a share of the text for each, and text behind
        the last one: people leave one blank or several, and anywhere."""
        ids_BT = self._source.batch(index).ids_BT.numpy()
        draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "pieces", index)))
        rows = []
        for row_T in ids_BT:
            num = int(draw.integers(1, len(self._marks) + 1))
            stop = int(draw.integers((len(row_T) + 1) // 2, len(row_T) + 1))
            share = self._share * num / len(self._marks)
            row = corrupted(
                row_T[:stop],
                self._marks[:num],
                draw,
                share=share,
                mean_length=self._mean_length,
            )
            rows.append(Corrupted([*row.kept, *row_T[stop:].tolist()], row.taken))
        return rows

    def batch(self, index: int) -> Batch:
        """Batch `index`; rows are filled up with the end mark, which is no target there."""
        draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "turns", index)))
        rows, firsts = [], []
        for row in self._rows(index):
            pieces = _pieces(row.taken, self._marks)
            order = draw.permutation(len(pieces))
            written = [token for place in order for token in pieces[place]]
            rows.append([*row.kept, *written, self._end_id][: self._context + 1])
            firsts.append(len(row.kept))
        T = max(len(row) for row in rows) - 1
        ids_BT = np.full((len(rows), T), self._end_id, dtype=np.int64)
        targets_BT = np.full((len(rows), T), IGNORED, dtype=np.int64)
        num = 0
        for number, (ids, first) in enumerate(zip(rows, firsts, strict=True)):
            length = len(ids) - 1
            num += length
            ids_BT[number, :length] = ids[:-1]
            # The first mark behind what is left is no target: which piece comes first is chance.
            targets_BT[number, first:length] = ids[first + 1 :]
        prefix_B = torch.tensor(firsts).clamp_max(T)
        return Batch(
            torch.from_numpy(ids_BT), torch.from_numpy(targets_BT), None, None, num, None, prefix_B
        )


def corrupted(
    row_T: NDArray[np.integer],
    marks: Sequence[int],
    draw: np.random.Generator,
    *,
    share: float = SHARE,
    mean_length: float = MEAN_LENGTH,
) -> Corrupted:
    """Take pieces out of a row, at places and of lengths that are drawn evenly among all ways to
    cut so many tokens into so many pieces with something left before each (T5's own scheme).
    There are no more pieces than marks."""
    length = len(row_T)
    num_taken = min(max(1, round(length * share)), max(1, length - 1))
    num_pieces = min(max(1, round(num_taken / mean_length)), num_taken, len(marks))
    num_pieces = max(1, min(num_pieces, length - num_taken))
    taken = _cut(num_taken, num_pieces, draw)
    left = _cut(length - num_taken, num_pieces, draw) if length > num_taken else [0] * num_pieces
    found = Corrupted([], [])
    at = 0
    for mark, before, size in zip(marks, left, taken, strict=False):
        found.kept.extend(row_T[at : at + before].tolist())
        found.kept.append(mark)
        at += before
        found.taken.append(mark)
        found.taken.extend(row_T[at : at + size].tolist())
        at += size
    return found


def restored(row: Corrupted, marks: Sequence[int]) -> list[int]:
    """The row that `corrupted` was given. The obvious way back, for tests."""
    pieces = {piece[0]: piece[1:] for piece in _pieces(row.taken, marks)}
    whole: list[int] = []
    for token in row.kept:
        whole.extend(pieces.get(token, [token]))
    return whole


def _cut(total: int, parts: int, draw: np.random.Generator) -> list[int]:
    """`parts` positive lengths that add up to `total`, all ways equally likely."""
    borders: Any = (
        np.sort(draw.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else []
    )
    edges = [0, *(int(border) for border in borders), total]
    return [b - a for a, b in pairwise(edges)]


def _pieces(taken: Sequence[int], marks: Sequence[int]) -> list[list[int]]:
    """Each piece with its mark before it. A mark is told by being the next one: the text may hold
    its id too, where ids of text are used as marks."""
    found: list[list[int]] = []
    for token in taken:
        if len(found) < len(marks) and token == marks[len(found)]:
            found.append([token])
        else:
            found[-1].append(token)
    return found
