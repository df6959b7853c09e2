"""Keys, values and ids of the tokens read so far, in memory laid out once per request.

B rows, T new tokens, S tokens in all, H key heads, K head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """A contiguous cache: two tensors of (B, H, capacity, K) for each layer.

    Rows are always equally long. A layer's memory is taken when the layer first appends, so the
    cache needs to know nothing of the model. `append` writes behind `length` without moving it,
    since every layer writes at the same place; the engine calls `advance` once the step is done.

    Args:
        capacity: the most tokens it will hold, the model's window at most.

    Attributes:
        length: tokens that count.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._ids: Tensor | None = None

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new keys and values of one layer.

        Returns:
            All keys and values of the layer, old and new, (B, H, S, K): views, not copies.
        """
        start, stop = self.length, self.length + k_BHTK.shape[2]
        assert stop <= self.capacity, f"{stop} tokens in a cache of {self.capacity}"
        if layer not in self._keys:
            rows, heads, _, width = k_BHTK.shape
            self._keys[layer] = k_BHTK.new_empty((rows, heads, self.capacity, width))
            self._values[layer] = v_BHTK.new_empty((*v_BHTK.shape[:2], self.capacity, width))
        keys, values = self._keys[layer], self._values[layer]
        keys[:, :, start:stop] = k_BHTK
        values[:, :, start:stop] = v_BHTK
        return keys[:, :, :stop], values[:, :, :stop]

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        """Store the ids of the new tokens, for models that look at the token before each.

        Returns:
            All ids, old and new, (B, S): a view, not a copy.
        """
        start, stop = self.length, self.length + ids_BT.shape[1]
        assert stop <= self.capacity, f"{stop} tokens in a cache of {self.capacity}"
        if self._ids is None:
            self._ids = ids_BT.new_empty((ids_BT.shape[0], self.capacity))
        self._ids[:, start:stop] = ids_BT
        return self._ids[:, :stop]

    def advance(self, num_tokens: int) -> None:
        """Count what all layers have just appended."""
        self.length += num_tokens
        assert self.length <= self.capacity

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens. What stays is not touched."""
        assert 0 <= length <= self.length
        self.length = length

    def keep_rows(self, rows: list[int]) -> None:
        """Keep these rows only, in this order: the others have ended."""
        index = torch.tensor(rows)
        for table in (self._keys, self._values):
            for layer, tensor in table.items():
                table[layer] = tensor.index_select(0, index.to(tensor.device))
        if self._ids is not None:
            self._ids = self._ids.index_select(0, index.to(self._ids.device))

    @property
    def num_bytes(self) -> int:
        """Memory taken, in bytes."""
        ids = () if self._ids is None else (self._ids,)
        tensors = (*self._keys.values(), *self._values.values(), *ids)
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)
