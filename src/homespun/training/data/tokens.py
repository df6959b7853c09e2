"""Batches as a function of their number alone, so that a resumed run reads what it would have read.

Shape letters: B rows of a batch, T tokens of a row (the context).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import DataError, TextBlocks, derive_seed, permutation

IGNORED = -100
"""Target of a position that is not trained on; PyTorch's own default for cross-entropy."""


class Batch(NamedTuple):
    """What an objective gets.

    Attributes:
        ids_BT: int64 inputs.
        targets_BT: int64, the id that follows each input, or `IGNORED`.
        positions_BT: int64 place of each token in its own example; None where a row is one text.
        segments_BT: int64 number of the example a token belongs to, from 1; 0 is padding. Tokens
            see only their own segment. None where a row is one text.
        num_tokens: inputs that are not padding.
        blocks_BT: int64 block of the training text each target is of, for models with tables that
            must not have counted it; None where there are none.
        prefix_B: int64 tokens at the beginning of each row that see each other both ways; None
            where tokens see the past alone.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor | None
    segments_BT: Tensor | None
    num_tokens: int
    blocks_BT: Tensor | None = None
    prefix_B: Tensor | None = None

    @property
    def num_rows(self) -> int:
        return len(self.ids_BT)

    def rows(self, start: int, stop: int) -> Batch:
        """The rows start .. stop-1 alone."""
        part = slice(start, stop)
        segments_BT = None if self.segments_BT is None else self.segments_BT[part]
        ids_BT = self.ids_BT[part]
        return Batch(
            ids_BT,
            self.targets_BT[part],
            None if self.positions_BT is None else self.positions_BT[part],
            segments_BT,
            ids_BT.numel() if segments_BT is None else int((segments_BT != 0).sum()),
            None if self.blocks_BT is None else self.blocks_BT[part],
            None if self.prefix_B is None else self.prefix_B[part],
        )

    def split(self, num_parts: int) -> list[Batch]:
        """The same rows in `num_parts` batches of nearly equal size; in fewer where there are
        fewer rows. A micro batch that does not fit into memory is cut so."""
        return [self.rows(*part) for part in row_parts(self.num_rows, num_parts)]

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.ids_BT.to(device, non_blocking=True),
            self.targets_BT.to(device, non_blocking=True),
            None if self.positions_BT is None else self.positions_BT.to(device),
            None if self.segments_BT is None else self.segments_BT.to(device),
            self.num_tokens,
            None if self.blocks_BT is None else self.blocks_BT.to(device),
            None if self.prefix_B is None else self.prefix_B.to(device),
        )


def row_parts(num_rows: int, num_parts: int) -> list[tuple[int, int]]:
    """First row and the one behind the last of `num_parts` parts of nearly equal size; of fewer
    parts where there are fewer rows."""
    num_parts = min(num_parts, num_rows)
    cuts = [num_rows * part // num_parts for part in range(num_parts + 1)]
    return list(itertools.pairwise(cuts))


class TokenArray(Protocol):
    """One-dimensional ids: a NumPy array, a memory map, or a view over several files."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: Any, /) -> Any: ...


class BatchSource(Protocol):
    """Where the training loop takes its batches. Batch `index` never depends on what came before.

    The batch itself is for the objective to understand; the loop asks only for `num_tokens`,
    `to(device)` and, where memory does not suffice, `split(num_parts)`. A source of several tasks
    says by `task_of(index)` which one a batch is of.
    """

    def batch(self, index: int) -> Any: ...
    def epochs(self, num_batches: int) -> float:
        """How often the data has been seen after that many batches."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain values that tell one source from another; a resumed stage must get the same."""
        ...


class RowOrder:
    """Deals `num_rows` rows per epoch, reshuffled each epoch, into batches that lose none.

    Rows are numbered through all epochs; a batch may span two of them.
    """

    def __init__(self, num_rows: int, rows_per_batch: int, seed: int) -> None:
        self._num_rows = num_rows
        self._rows_per_batch = rows_per_batch
        self._seed = seed
        self._orders: dict[int, NDArray[np.int64]] = {}

    def rows(self, index: int) -> list[tuple[int, int]]:
        """The (epoch, row) pairs of batch `index`."""
        first = index * self._rows_per_batch
        dealt = []
        for number in range(first, first + self._rows_per_batch):
            epoch, place = divmod(number, self._num_rows)
            dealt.append((epoch, int(self._order(epoch)[place])))
        return dealt

    def epochs(self, num_batches: int) -> float:
        return num_batches * self._rows_per_batch / self._num_rows

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            self._orders = {
                known: order for known, order in self._orders.items() if known == epoch - 1
            }
            self._orders[epoch] = permutation(self._seed, epoch, self._num_rows)
        return self._orders[epoch]


class RowSource(Protocol):
    """Batches of rows of text, as `TokenBatches` gives them, that another source cuts or hides
    words in."""

    def batch(self, index: int) -> Batch: ...
    def epochs(self, num_batches: int) -> float: ...
    def describe(self) -> dict[str, Any]: ...


class TokenBatches:
    """Rows of `context` tokens cut from one long token stream.

    The stream is treated as a ring: shards begin and end with the end-of-text id, so the last
    token takes the place of the first and every transition on the ring is one of the text. (Where
    the ends differ, the one false transition is `IGNORED`.) Each epoch starts cutting at another
    seeded place, so the cuts between rows differ, and the remainder shorter than a row, which an
    epoch leaves out, is another one each time.

    Args:
        tokens: ids, memory-mapped as a rule; slices are read, never the whole.
        context: tokens of a row.
        rows: rows of a batch.
        seed: of the order and the cuts.
        blocks: of the stream; batches then say which one each target is of. None says nothing.

    Raises:
        DataError: fewer tokens than one row needs.
    """

    def __init__(
        self,
        tokens: TokenArray,
        *,
        context: int,
        rows: int,
        seed: int,
        blocks: TextBlocks | None = None,
    ) -> None:
        num_tokens = len(tokens)
        closes = num_tokens > 1 and int(tokens[0]) == int(tokens[num_tokens - 1])
        self._tokens = tokens
        self._length = num_tokens - 1 if closes else num_tokens
        self._closes = closes
        if self._length < context + 1:
            raise DataError(
                f"a row needs {context + 1} tokens and the training text has fewer",
                got=self._length,
                remedy="choose a smaller context or add text",
            )
        self._context = context
        self._rows = rows
        self._seed = seed
        self._blocks = blocks
        self._order = RowOrder(self._length // context, rows, seed)

    @property
    def tokens_per_batch(self) -> int:
        return self._rows * self._context

    @property
    def rows_per_epoch(self) -> int:
        return self._length // self._context

    def epochs(self, num_batches: int) -> float:
        return self._order.epochs(num_batches)

    def batch(self, index: int) -> Batch:
        """Batch `index`: ids and targets [B, T], a function of (seed, index) alone."""
        starts = [self.start(epoch, row) for epoch, row in self._order.rows(index)]
        return self.read(starts, self._context)

    def start(self, epoch: int, row: int) -> int:
        """Where a row of an epoch begins among the tokens."""
        offset = derive_seed(self._seed, "offset", epoch) % self._length
        return int((offset + row * self._context) % self._length)

    def read(self, starts: Sequence[int], context: int) -> Batch:
        """Rows of `context` tokens, at most as many as the rows of this source, from `starts`."""
        starts = [start % self._length for start in starts]
        windows = np.empty((len(starts), context + 1), dtype=np.int64)
        for place, start in enumerate(starts):
            windows[place] = self._window(start, start + context + 1)
        ids_BT = torch.from_numpy(windows[:, :-1].copy())
        targets_BT = torch.from_numpy(windows[:, 1:].copy())
        if not self._closes:
            for place, start in enumerate(starts):
                last = self._length - 1 - start
                if last < context:
                    targets_BT[place, last] = IGNORED
        blocks_BT = None
        if self._blocks is not None:
            places = np.array(starts)[:, None] + np.arange(1, context + 1)
            places %= self._length
            if self._closes:  # as a target the mark at the seam ends the last document
                places[places == 0] = self._length
            blocks_BT = torch.from_numpy(self._blocks.at(places)).long()
        return Batch(ids_BT, targets_BT, None, None, len(starts) * context, blocks_BT)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "tokens",
            "tokens": len(self._tokens),
            "context": self._context,
            "rows": self._rows,
            "seed": self._seed,
            **({"blocks": self._blocks.num_blocks} if self._blocks else {}),
        }

    def _window(self, start: int, stop: int) -> NDArray[Any]:
        if stop <= self._length:
            return np.asarray(self._tokens[start:stop])
        head = np.asarray(self._tokens[start : self._length])
        return np.concatenate([head, np.asarray(self._tokens[: stop - self._length])])


def stack_rows(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.stack(rows))
