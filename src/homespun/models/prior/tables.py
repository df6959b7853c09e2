"""An n-gram table beside the decoder: counts say what usually comes next, the network corrects it.

The scores of the next token become `z + s · log p`, where `p` is a smoothed n-gram's distribution
and `s` a learned strength, so a model starts as good as the table and spends its capacity on what
counting cannot see (residual learning on n-grams, Li et al. 2022, arXiv 2210.14431; there without
held-out tables). In training the table must not have counted the text it is asked about: the
text is cut into blocks, and each block is read with the probabilities of the other blocks.

Shape letters: B rows, T tokens of a row, N = B·T, V vocabulary, M n-grams of an order, P of the
order before, X tables: one without each block and, last, one of everything, K numbers of a place
in them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import CheckpointError
from homespun.models.native.active import active_kernels
from homespun.models.native.library import TableOrder
from homespun.models.prior.copies import LONGEST, add_copies, find_copies

BLOCKS = "blocks."
"""Names of tensors that only training needs begin with this."""


class OrderTable(NamedTuple):
    """The n-grams of one order, as `classic.count_left_out` gives them.

    Attributes:
        keys_M: sorted int64, `id of the first n-1 tokens · V + last token`; an n-gram's id is its
            place. At order 1 all V tokens.
        mass_XM: float32, what the order itself adds to the probability of the last token.
        backoff_XP: float32, the weight of the shorter history, one for each n-gram of the order
            before (one number at order 1).
    """

    keys_M: Tensor
    mass_XM: Tensor
    backoff_XP: Tensor

    @classmethod
    def of(
        cls, keys_M: NDArray[Any], mass_XM: NDArray[Any], backoff_XP: NDArray[Any]
    ) -> OrderTable:
        """The same in tensors. Probabilities may come as one row without its axis."""
        mass, backoff = (torch.from_numpy(x).float() for x in (mass_XM, backoff_XP))
        if mass.ndim == 1:
            mass, backoff = mass[None], backoff[None]
        return cls(torch.from_numpy(keys_M), mass, backoff)


class NgramPrior:
    """Tables of several orders, ready to be looked up a batch at a time.

    Args:
        vocab_size: V.
        orders: 1, 2, …, all with the same X.
        num_words: ids that get a column, the first ones; None for all.
        copy_odds: of what followed earlier in the context, see `copies`; None leaves it out.
    """

    def __init__(
        self,
        vocab_size: int,
        orders: Sequence[OrderTable],
        *,
        num_words: int | None = None,
        copy_odds: Tensor | None = None,
    ) -> None:
        self.copy_odds = copy_odds
        self.vocab_size = vocab_size
        self.num_words = num_words or vocab_size
        self.orders = list(orders)
        first = self.orders[0]
        self._unigram_XV = first.mass_XM + first.backoff_XP / vocab_size
        # Where the continuations of each history begin in the order's list, and where they end.
        self._starts = [
            torch.searchsorted(
                order.keys_M,
                torch.arange(order.backoff_XP.shape[1] + 1, dtype=torch.int64) * vocab_size,
            )
            for order in self.orders[1:]
        ]
        self._words = [(order.keys_M % vocab_size).to(torch.int32) for order in self.orders[1:]]

    @property
    def order(self) -> int:
        """Longest n-gram."""
        return len(self.orders)

    @property
    def num_blocks(self) -> int:
        """Blocks of the training text that can be left out."""
        return len(self.orders[0].mass_XM) - 1

    @property
    def num_ngrams(self) -> int:
        """n-grams of all orders that occur in the text."""
        return sum(int((order.mass_XM[-1] > 0).sum()) for order in self.orders)

    def num_bytes(self) -> int:
        """Memory of all tables."""
        tensors = [tensor for order in self.orders for tensor in order]
        return sum(t.numel() * t.element_size() for t in [*tensors, *self._starts, *self._words])

    def unigram(self) -> Tensor:
        """Probability of each token whatever stands before it, by the whole text, (V,)."""
        return self._unigram_XV[-1]

    def continuations(self, n: int) -> tuple[Tensor, Tensor]:
        """Of the n-grams of order n ≥ 2, in the order of their keys: where those of each history
        begin (and, last, where all end), int64, and their last tokens, int32."""
        return self._starts[n - 2], self._words[n - 2]

    def whole(self) -> NgramPrior:
        """Without the tables that leave out a block: what is needed once training is over."""
        last = [
            OrderTable(o.keys_M, o.mass_XM[-1:].clone(), o.backoff_XP[-1:].clone())
            for o in self.orders
        ]
        return NgramPrior(self.vocab_size, last, num_words=self.num_words, copy_odds=self.copy_odds)

    def with_copies(self, odds_L: Tensor) -> NgramPrior:
        """The same tables, mixed with what followed earlier in the context."""
        prior = copy.copy(self)
        prior.copy_odds = odds_L
        return prior

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file. Names that begin with `BLOCKS` may be left out when reading."""
        sizes = torch.tensor([self.vocab_size, self.num_words], dtype=torch.int64)
        named = {"sizes": sizes}
        if self.copy_odds is not None:
            named["copy_odds"] = self.copy_odds
        for n, order in enumerate(self.orders, start=1):
            named[f"{n}.keys"] = order.keys_M
            named[f"{n}.mass"] = order.mass_XM[-1].contiguous()
            named[f"{n}.backoff"] = order.backoff_XP[-1].contiguous()
            if self.num_blocks:
                named[f"{BLOCKS}{n}.mass"] = order.mass_XM[:-1].contiguous()
                named[f"{BLOCKS}{n}.backoff"] = order.backoff_XP[:-1].contiguous()
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, where: str) -> Self:
        """What `tensors` gave, with or without the blocks.

        Raises:
            CheckpointError: a tensor is missing or does not fit the others.
        """
        try:
            vocab_size, num_words = (int(x) for x in tensors["sizes"])
            num_orders = sum(
                name.endswith(".keys") and not name.startswith(BLOCKS) for name in tensors
            )
            orders = [_order_of(tensors, n) for n in range(1, num_orders + 1)]
            before = 1
            for order in orders:
                if order.mass_XM.shape[1] != len(order.keys_M) or before != len(
                    order.backoff_XP[0]
                ):
                    raise ValueError("lengths differ")
                before = len(order.keys_M)
            odds = tensors.get("copy_odds")
            if odds is not None and odds.shape != (LONGEST + 1,):
                raise ValueError("the odds of copies are of other lengths")
            return cls(vocab_size, orders, num_words=num_words, copy_odds=odds)
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise CheckpointError(
                f"{where} is not a whole n-gram table",
                got=error,
                remedy="remove it, so that the table is counted again",
            ) from error

    @torch.no_grad()
    def log_probs(
        self,
        ids_BT: Tensor,
        *,
        last: int,
        positions_BT: Tensor | None = None,
        blocks_BT: Tensor | None = None,
    ) -> Tensor:
        """log p of the token after each of the last `last` columns, (B, last, words) in float32.

        Args: see `places`.
        """
        places_BTK = self.places(ids_BT, last=last, positions_BT=positions_BT, blocks_BT=blocks_BT)
        return self.rows(places_BTK.flatten(0, 1)).view(len(ids_BT), last, self.num_words)

    @torch.no_grad()
    def places(
        self,
        ids_BT: Tensor,
        *,
        last: int,
        positions_BT: Tensor | None = None,
        blocks_BT: Tensor | None = None,
    ) -> Tensor:
        """Where the last `last` columns stand in the tables, int64, (B, last, K) where the
        table's order is K: number of the table, then of the histories of 1, 2, … K - 1 tokens that
        end there, -1 where the text has none such; with copies, `copies.COLUMNS` more. `rows` says
        what the tables hold there.

        Args:
            ids_BT: int64; histories reach back to the first column.
            last: number of columns, at most T.
            positions_BT: of the tokens in texts of their own; histories end at position 0.
            blocks_BT: the block each next token is of, which is left out; None uses the whole
                table.
        """
        # Tables are in the processor's memory and looked up there, wherever the model is.
        device, T = ids_BT.device, ids_BT.shape[1]
        ids_BT = ids_BT.cpu()
        positions_BT = None if positions_BT is None else positions_BT.cpu()
        if blocks_BT is None:
            tables_BT = torch.full_like(ids_BT, self.num_blocks)
        else:
            tables_BT = blocks_BT.cpu().long()
        # The history of an order is the (n-1)-gram that ends at the column.
        grams_BT = ids_BT
        found = [tables_BT, ids_BT]
        for n, order in enumerate(self.orders[1:-1], start=2):
            grams_BT = self._longer(grams_BT, ids_BT, order.keys_M)
            if positions_BT is not None:
                grams_BT = grams_BT.masked_fill(positions_BT < n - 1, -1)
            found.append(grams_BT)
        columns = [x_BT[:, T - last :] for x_BT in found[: self.order]]
        places_BTK = torch.stack(columns, -1)
        if self.copy_odds is not None:
            copies_BTC = find_copies(ids_BT, last=last, positions_BT=positions_BT)
            places_BTK = torch.cat((places_BTK, copies_BTC), -1)
        return places_BTK.to(device)

    def told(self, ids_BT: Tensor, *, blocks_BT: Tensor | None = None) -> TableRows:
        """What the tables say after every token of a batch, row by row, looked up when wanted."""
        places_BTK = self.places(ids_BT, last=ids_BT.shape[1], blocks_BT=blocks_BT)
        return TableRows(self, places_BTK.flatten(0, 1))

    @torch.no_grad()
    def rows(self, places_NK: Tensor) -> Tensor:
        """log p of all words at such places, (N, words) in float32."""
        own_NK = places_NK.cpu().contiguous()
        tables_N, *histories = own_NK[:, : self.order].T.contiguous()
        copies_NC = own_NK[:, self.order :]
        kernels = active_kernels(self._unigram_XV)
        if kernels is None:
            rows_NV = self._rows(tables_N, histories)[:, : self.num_words]
            if self.copy_odds is not None:
                rows_NV = add_copies(rows_NV, copies_NC, self.copy_odds)
        else:
            parts = zip(histories, self._starts, self._words, self.orders[1:], strict=True)
            orders = [TableOrder(h, s, w, o.mass_XM, o.backoff_XP) for h, s, w, o in parts]
            copies = None if self.copy_odds is None else (copies_NC, self.copy_odds)
            rows_NV = kernels.table_rows(
                self._unigram_XV, tables_N, orders, self.num_words, copies=copies
            )
        return rows_NV.to(places_NK.device)

    def _rows(self, tables_N: Tensor, histories: Sequence[Tensor]) -> Tensor:
        """log p of all words after each row's histories of all lengths, by torch alone."""
        V = self.vocab_size
        p_NV = self._unigram_XV[tables_N]
        for histories_N, starts, words, order in zip(
            histories, self._starts, self._words, self.orders[1:], strict=True
        ):
            seen_N = histories_N >= 0
            safe_N = histories_N.clamp(min=0)
            p_NV.mul_(torch.where(seen_N, order.backoff_XP[tables_N, safe_N], 1.0)[:, None])
            low_N = starts[safe_N]
            num_N = torch.where(seen_N, starts[safe_N + 1] - low_N, 0)
            total = int(num_N.sum())
            if total:
                rows_E = torch.repeat_interleave(torch.arange(len(tables_N)), num_N)
                before_N = num_N.cumsum(0) - num_N
                at_E = torch.arange(total) + (low_N - before_N)[rows_E]
                # Of one order and row no word comes twice, so the sums do not meet.
                places_E = rows_E * V + words[at_E]
                p_NV.view(-1).index_add_(0, places_E, order.mass_XM[tables_N[rows_E], at_E])
        return p_NV.log_()

    def _longer(self, grams_BT: Tensor, ids_BT: Tensor, keys_M: Tensor) -> Tensor:
        """Ids of the n-grams that end at each column, from those of one token less; -1 unseen."""
        longer_BT = torch.full_like(ids_BT, -1)
        if not len(keys_M):
            return longer_BT
        wanted_BT = grams_BT[:, :-1] * self.vocab_size + ids_BT[:, 1:]
        at_BT = torch.searchsorted(keys_M, wanted_BT).clamp_(max=len(keys_M) - 1)
        found_BT = (keys_M[at_BT] == wanted_BT) & (grams_BT[:, :-1] >= 0)
        longer_BT[:, 1:] = torch.where(found_BT, at_BT, -1)
        return longer_BT


def _order_of(tensors: Mapping[str, Tensor], n: int) -> OrderTable:
    mass, backoff = tensors[f"{n}.mass"][None], tensors[f"{n}.backoff"][None]
    if f"{BLOCKS}{n}.mass" in tensors:
        mass = torch.cat((tensors[f"{BLOCKS}{n}.mass"], mass))
        backoff = torch.cat((tensors[f"{BLOCKS}{n}.backoff"], backoff))
    return OrderTable(tensors[f"{n}.keys"], mass, backoff)


class TableRows:
    """Log probabilities of many places, which are looked up when they are asked for: `rows[part]`
    is float32, (rows of the part, words).

    Args:
        prior: the tables. places_NK: in them.
    """

    def __init__(self, prior: NgramPrior, places_NK: Tensor) -> None:
        self._prior, self._places_NK = prior, places_NK

    def __len__(self) -> int:
        return len(self._places_NK)

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        return self._prior.rows(self._places_NK[rows])


_LOW = 22  # bits; float32 holds whole numbers of 24 exactly


def places_to_numbers(places_K: Tensor) -> Tensor:
    """Places (…, K) as float32 (…, 2K), exactly, to travel in one tensor with hidden states."""
    return torch.cat((places_K >> _LOW, places_K & ((1 << _LOW) - 1)), -1).float()


def places_from_numbers(numbers_X: Tensor) -> Tensor:
    """The reverse of `places_to_numbers`."""
    high_K, low_K = numbers_X.detach().long().chunk(2, -1)
    return (high_K << _LOW) + low_K
