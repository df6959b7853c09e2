"""Any decoder, by torch, over blocks.

B rows, T new tokens, S tokens in all, H key heads, K head width, R rows of scores, V vocabulary,
N places of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from homespun.inference.runners.work import (
    BLOCK_TOKENS,
    BurstRow,
    CachedDecoder,
    Results,
    Work,
    Written,
    network_states,
)


class TorchRunner:
    """Rows that read one token are computed together, others with those that read as many from
    the same place.

    Args:
        model: in evaluation mode.
        num_blocks: of the cache.
        device: where the model is.
        notice: why it is this runner, where a person should know.
    """

    def __init__(
        self, model: CachedDecoder, num_blocks: int, device: torch.device, *, notice: str = ""
    ) -> None:
        self.notice = notice
        self._model = model
        self._device = device
        self.store = BlockStore(num_blocks)

    @torch.inference_mode()
    def run(self, works: Sequence[Work], *, with_hidden: bool = False) -> Results:
        groups: dict[tuple[int, int], list[int]] = {}
        for at, work in enumerate(works):
            same = (1, 0) if len(work.ids) == 1 else (len(work.ids), work.start)
            groups.setdefault(same, []).append(at)
        hidden_of: list[Tensor | None] = [None] * len(works)
        for members in groups.values():
            hidden_BTD = self._read([works[at] for at in members])
            for row, at in enumerate(members):
                if works[at].num_scores:
                    hidden_of[at] = hidden_BTD[row, -works[at].num_scores :]
        wanted = [hidden_TD for hidden_TD in hidden_of if hidden_TD is not None]
        if not wanted:
            return Results(torch.empty(0, 0), None)
        hidden_RD = torch.cat(wanted)
        scores_RV = self._model.head(hidden_RD[:, None])[:, 0].float().cpu()
        if not with_hidden:
            return Results(scores_RV, None)
        return Results(scores_RV, network_states(self._model, hidden_RD).float().cpu())

    @torch.inference_mode()
    def copy_block(self, source: int, target: int) -> None:
        self.store.copy(source, target)

    can_burst = False
    num_weight_bytes = 0
    num_threads = 0

    def burst(self, rows: Sequence[BurstRow], most: int) -> list[Written]:
        raise AssertionError("torch writes one token a step")

    def _read(self, works: Sequence[Work]) -> Tensor:
        cache = PagedCache(self.store, works, self._device)
        ids_BT = torch.tensor([list(work.ids) for work in works], device=self._device)
        return self._model(ids_BT, positions_BT=cache.positions_BT, cache=cache)


class BlockStore:
    """Keys and values of all layers in blocks. A layer's memory is taken when it is first written,
    so that nothing needs to be known of the model."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, number: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, (N, H, K)."""
        if number not in self.layers:
            places = self.num_blocks * BLOCK_TOKENS
            self.layers[number] = _places(places, k_BHTK), _places(places, v_BHTK)
        return self.layers[number]

    def copy(self, source: int, target: int) -> None:
        for tensors in self.layers.values():
            for tensor in tensors:
                blocks = tensor.view(self.num_blocks, BLOCK_TOKENS, *tensor.shape[1:])
                blocks[target] = blocks[source]

    @property
    def num_bytes(self) -> int:
        return sum(t.nelement() * t.element_size() for pair in self.layers.values() for t in pair)


class PagedCache:
    """What a model sees of the store in one forward pass (`models.KeyValueCache`).

    All rows read as many new tokens. Where they hold different numbers already, they read one
    each; the keys of shorter rows are followed by others, which `hidden_keys` hides.

    Attributes:
        length: tokens that the longest row holds.
        positions_BT: of the new tokens; None where all rows hold as many.
    """

    def __init__(self, store: BlockStore, works: Sequence[Work], device: torch.device) -> None:
        self._store = store
        self._works = works
        starts = [work.start for work in works]
        num_new = len(works[0].ids)
        self.length = max(starts)
        self._ragged = min(starts) < self.length
        assert not self._ragged or num_new == 1
        starts_B1 = torch.tensor(starts, device=device)[:, None]
        own_BT = starts_B1 + torch.arange(num_new, device=device)
        self.positions_BT = own_BT if self._ragged else None
        num_blocks = -(-(self.length + num_new) // BLOCK_TOKENS)
        tables = [
            [*work.blocks[:num_blocks], *[0] * (num_blocks - len(work.blocks))] for work in works
        ]
        blocks_BN = torch.tensor(tables, device=device) * BLOCK_TOKENS
        places_BS = blocks_BN[:, :, None] + torch.arange(BLOCK_TOKENS, device=device)
        places_BS = places_BS.flatten(1)[:, : self.length + num_new]
        self._new_BT = places_BS.gather(1, own_BT)
        if self._ragged:
            # Hidden places hold others' numbers, which may be none, and 0 times those is not 0.
            behind_BS = torch.arange(self.length + 1, device=device) > starts_B1
            places_BS = torch.where(behind_BS, places_BS[:, :1], places_BS)
        self._places_BS = places_BS
        self._starts_B1 = starts_B1

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new keys and values of a layer; returns all of them, (B, H, S, K)."""
        keys_NHK, values_NHK = self._store.layer(layer, k_BHTK, v_BHTK)
        keys_NHK[self._new_BT] = k_BHTK.transpose(1, 2)
        values_NHK[self._new_BT] = v_BHTK.transpose(1, 2)
        if self.length == 0:
            return k_BHTK, v_BHTK
        return (
            keys_NHK[self._places_BS].transpose(1, 2),
            values_NHK[self._places_BS].transpose(1, 2),
        )

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        """The new ids behind the last few before them; -1 where a row begins later."""
        if self.length == 0:
            return ids_BT
        most = max(len(work.before) for work in self._works)
        before = [[*[-1] * (most - len(work.before)), *work.before] for work in self._works]
        return torch.cat((torch.tensor(before, device=ids_BT.device), ids_BT.long()), 1)

    def hidden_keys(self, *, like: Tensor) -> Tensor | None:
        """(B, 1, S) of 0 and -inf: keys behind a shorter row's own. None where none is shorter."""
        if not self._ragged:
            return None
        behind_BS = torch.arange(self.length + 1, device=like.device) > self._starts_B1
        bias_BS = torch.zeros(behind_BS.shape, dtype=like.dtype, device=like.device)
        return bias_BS.masked_fill_(behind_BS, float("-inf"))[:, None]


def _places(num: int, like_BHTK: Tensor) -> Tensor:
    """(N, H, K) of zeros. On the processor what is never written takes up no memory."""
    shape = (num, like_BHTK.shape[1], like_BHTK.shape[3])
    if like_BHTK.device.type != "cpu":
        return like_BHTK.new_zeros(shape)
    num_bytes = math.prod(shape) * like_BHTK.element_size()
    empty = torch.from_numpy(np.zeros(num_bytes, dtype=np.uint8))
    return empty.view(like_BHTK.dtype).view(shape)
