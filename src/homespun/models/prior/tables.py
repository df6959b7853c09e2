"""An n-gram table beside the decoder: counts say what usually comes next, the network corrects it.

The scores of the next token become `z + s · log p`, where `p` is a smoothed n-gram's distribution
and `s` a learned strength, so a model starts as good as the table and spends its capacity on what
counting cannot see (residual learning on n-grams, Li et al. 2022, arXiv 2210.14431; there without
held-out tables). In training the table must not have counted the text it is asked about: the
text is cut into blocks, and each block is read with a table of the other blocks.

Shape letters: B rows, T tokens of a row, N = B·T, V vocabulary, M n-grams of an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor


class OrderTable(NamedTuple):
    """The n-grams of one order, as `classic.KneserNey.tables` gives them.

    Attributes:
        keys_M: sorted int64, `id of the first n-1 tokens · V + last token`; an n-gram's id is its
            place. At order 1 all V tokens.
        mass_M: float32, what the order itself adds to the probability of the last token.
        backoff_P: float32, the weight of the shorter history, one for each n-gram of the order
            before (one number at order 1).
    """

    keys_M: Tensor
    mass_M: Tensor
    backoff_P: Tensor

    @classmethod
    def of(cls, keys_M: NDArray[Any], mass_M: NDArray[Any], backoff_P: NDArray[Any]) -> OrderTable:
        """The same in tensors, probabilities in float32."""
        return cls(
            torch.from_numpy(keys_M),
            torch.from_numpy(mass_M).float(),
            torch.from_numpy(backoff_P).float(),
        )


class NgramPrior:
    """Tables of several orders: one that counted everything, and one without each block.

    Args:
        vocab_size: V.
        whole: orders 1, 2, … of the table that counted all text.
        without: the same for the tables that left out block 0, 1, …; may be empty.
        num_words: ids that get a column, the first ones; None for all.
    """

    def __init__(
        self,
        vocab_size: int,
        whole: Sequence[OrderTable],
        without: Sequence[Sequence[OrderTable]] = (),
        *,
        num_words: int | None = None,
    ) -> None:
        self.num_words = num_words or vocab_size
        self._whole = _Table(vocab_size, whole)
        self._without = [_Table(vocab_size, orders) for orders in without]

    @property
    def order(self) -> int:
        """Longest n-gram."""
        return len(self._whole.orders)

    @property
    def num_blocks(self) -> int:
        """Blocks of the training text that can be left out."""
        return len(self._without)

    @torch.no_grad()
    def log_probs(
        self,
        ids_BT: Tensor,
        *,
        last: int,
        positions_BT: Tensor | None = None,
        blocks_B: Tensor | None = None,
    ) -> Tensor:
        """log p of the token after each of the last `last` columns, (B, last, words) in float32.

        Args:
            ids_BT: int64; histories reach back to the first column.
            last: number of columns, at most T.
            positions_BT: of the tokens in texts of their own; histories end at position 0.
            blocks_B: the block each row is of, which is left out; None uses the whole table.
        """
        if blocks_B is None:
            return self._whole.log_probs(ids_BT, last, positions_BT)[..., : self.num_words]
        out_BTV = torch.empty(len(ids_BT), last, self.num_words)
        for block in sorted(set(blocks_B.tolist())):
            rows = (blocks_B == block).nonzero().squeeze(1)
            own_BT = None if positions_BT is None else positions_BT.expand_as(ids_BT)[rows]
            own_BTV = self._without[block].log_probs(ids_BT[rows], last, own_BT)
            out_BTV[rows] = own_BTV[..., : self.num_words]
        return out_BTV

    def num_bytes(self) -> int:
        """Memory of all tables."""
        return sum(table.num_bytes() for table in (self._whole, *self._without))


class _Table:
    """One smoothed table, ready to be looked up a batch at a time."""

    def __init__(self, vocab_size: int, orders: Sequence[OrderTable]) -> None:
        self.vocab_size = vocab_size
        self.orders = list(orders)
        first = self.orders[0]
        self._unigram_V = first.mass_M + first.backoff_P / vocab_size
        # Where the continuations of each history begin in the order's list, and where they end.
        self._starts = [
            torch.searchsorted(
                order.keys_M,
                torch.arange(len(order.backoff_P) + 1, dtype=torch.int64) * vocab_size,
            )
            for order in self.orders[1:]
        ]
        self._words = [(order.keys_M % vocab_size).to(torch.int32) for order in self.orders[1:]]

    def log_probs(self, ids_BT: Tensor, last: int, positions_BT: Tensor | None) -> Tensor:
        B, T = ids_BT.shape
        V = self.vocab_size
        p_NV = self._unigram_V.expand(B * last, V).clone()
        grams_BT = ids_BT
        for k, order in enumerate(self.orders[1:], start=2):
            # The history of an order is the (k-1)-gram that ends at the column.
            histories_N = grams_BT[:, T - last :].reshape(-1)
            seen_N = histories_N >= 0
            safe_N = histories_N.clamp(min=0)
            p_NV.mul_(torch.where(seen_N, order.backoff_P[safe_N], 1.0)[:, None])
            starts = self._starts[k - 2]
            low_N = starts[safe_N]
            num_N = torch.where(seen_N, starts[safe_N + 1] - low_N, 0)
            total = int(num_N.sum())
            if total:
                rows_E = torch.repeat_interleave(torch.arange(B * last), num_N)
                before_N = num_N.cumsum(0) - num_N
                at_E = torch.arange(total) + (low_N - before_N)[rows_E]
                # Of one order and row no word comes twice, so the sums do not meet.
                places_E = rows_E * V + self._words[k - 2][at_E]
                p_NV.view(-1).index_add_(0, places_E, order.mass_M[at_E])
            if k < len(self.orders):
                grams_BT = self._longer(grams_BT, ids_BT, order.keys_M)
                if positions_BT is not None:
                    grams_BT = grams_BT.masked_fill(positions_BT < k - 1, -1)
        return p_NV.log_().view(B, last, V)

    def _longer(self, grams_BT: Tensor, ids_BT: Tensor, keys_M: Tensor) -> Tensor:
        """Ids of the n-grams that end at each column, from those of one token less; -1 unseen."""
        longer_BT = torch.full_like(ids_BT, -1)
        wanted_BT = grams_BT[:, :-1] * self.vocab_size + ids_BT[:, 1:]
        at_BT = torch.searchsorted(keys_M, wanted_BT).clamp_(max=len(keys_M) - 1)
        found_BT = (keys_M[at_BT] == wanted_BT) & (grams_BT[:, :-1] >= 0)
        longer_BT[:, 1:] = torch.where(found_BT, at_BT, -1)
        return longer_BT

    def num_bytes(self) -> int:
        tensors = [tensor for order in self.orders for tensor in order]
        return sum(t.numel() * t.element_size() for t in [*tensors, *self._starts, *self._words])
