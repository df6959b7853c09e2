"""A table of pairs of tokens, (previous, current), hashed into fewer rows than there are pairs.

Parameters that cost no products: the table says what a count of bigrams would, so that the layers
need not learn it (bigram hash embedding of the modded-nanogpt speedrun, record 62).

Shape letters: B batch, T time, D width, R rows.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.extras.kinds import ParameterKind
from homespun.models.extras.previous import NONE

_MULTIPLIER = 1_640_531_527
"""2³² · (2 − φ) with φ the golden ratio, rounded to an odd number (multiplicative hashing; Knuth,
The Art of Computer Programming, volume 3, section 6.4). Below 2³¹, so that no product of it and a
32-bit number overflows an int64 on any device."""
_MASK = 2**32 - 1


class BigramTable(nn.Module):
    """A vector for each token and the one before it.

    Args:
        vocab_size: V; with V² rows or more every pair has a row of its own.
        num_rows: R, rows that pairs share. One more is for tokens that begin a text.
        width: D, size of a row.
    """

    parameter_kind: ClassVar[ParameterKind] = "bigram_table"

    def __init__(self, vocab_size: int, num_rows: int, width: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.num_rows = num_rows
        self.weight = nn.Parameter(torch.empty(num_rows + 1, width))

    def forward(
        self, ids_BT: Tensor, previous_BT: Tensor, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """(B, T, D) in `dtype`; `previous_BT` as from `previous_ids`."""
        rows_BT = bigram_rows(ids_BT, previous_BT, self.vocab_size, self.num_rows)
        return F.embedding(rows_BT, self.weight).to(dtype)

    def extra_repr(self) -> str:
        return f"{self.num_rows} + 1 rows"


def bigram_rows(ids_BT: Tensor, previous_BT: Tensor, vocab_size: int, num_rows: int) -> Tensor:
    """Row of each pair, 0 .. num_rows - 1, and row `num_rows` where nothing comes before."""
    pair_BT = previous_BT * vocab_size + ids_BT
    if num_rows < vocab_size**2:
        mixed_BT = ((pair_BT ^ (pair_BT >> 16)) & _MASK) * _MULTIPLIER & _MASK
        pair_BT = (mixed_BT ^ (mixed_BT >> 15)) % num_rows
    return pair_BT.masked_fill(previous_BT == NONE, num_rows)


def bigram_row_obvious(token: int, previous: int, vocab_size: int, num_rows: int) -> int:
    """The slow version, of one pair, in Python's integers."""
    if previous == NONE:
        return num_rows
    pair = previous * vocab_size + token
    if num_rows >= vocab_size**2:
        return pair
    pair = (pair ^ (pair >> 16)) % 2**32
    mixed = pair * _MULTIPLIER % 2**32
    return (mixed ^ (mixed >> 15)) % num_rows
