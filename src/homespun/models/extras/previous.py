"""The token before each token.

Shape letters: B batch, T time (new tokens), S all tokens of a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.cache import KeyValueCache

NONE = -1
"""Stands where a text begins and no token comes before."""


def previous_ids(
    ids_BT: Tensor,
    *,
    positions_BT: Tensor | None = None,
    segments_BT: Tensor | None = None,
    cache: KeyValueCache | None = None,
) -> Tensor:
    """The id before each of `ids_BT`, (B, T), or `NONE` where a row or a segment begins.

    Args:
        ids_BT: new tokens.
        positions_BT: of the tokens; one at position 0 has none before it.
        segments_BT: number of each token's text; the previous token must be of the same.
        cache: holds the tokens before the first column, and is given the new ones.
    """
    previous_BT = F.pad(ids_BT[:, :-1].long(), (1, 0), value=NONE)
    if cache is not None:
        ids_BS = cache.append_ids(ids_BT)
        if (start := ids_BS.shape[1] - ids_BT.shape[1]) > 0:
            previous_BT[:, 0] = ids_BS[:, start - 1]
    if segments_BT is not None:
        previous_BT[:, 1:].masked_fill_(segments_BT[:, 1:] != segments_BT[:, :-1], NONE)
    if positions_BT is not None:
        previous_BT.masked_fill_(positions_BT == 0, NONE)
    return previous_BT


def previous_ids_obvious(
    ids_BT: Tensor, *, positions_BT: Tensor | None = None, segments_BT: Tensor | None = None
) -> Tensor:
    """The slow version, one token at a time."""
    rows = []
    for b, row in enumerate(ids_BT.tolist()):
        before = []
        for t in range(len(row)):
            begins = t == 0
            if segments_BT is not None and t > 0:
                begins = begins or int(segments_BT[b, t]) != int(segments_BT[b, t - 1])
            if positions_BT is not None:
                begins = begins or int(positions_BT[b % len(positions_BT), t]) == 0
            before.append(NONE if begins else row[t - 1])
        rows.append(before)
    return torch.tensor(rows, dtype=torch.int64).view(ids_BT.shape)
