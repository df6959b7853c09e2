"""What attention asks of a key-value cache. The inference engine owns and implements it.

Shape letters: B batch, H key-value heads, T new tokens, S stored and new tokens, K head width.
Ids are stored for models that look at the previous token; others never ask.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class KeyValueCache(Protocol):
    """Keys and values of the tokens seen so far, for every layer, and their ids.

    The model reads `length`, calls `append` once a layer, and `append_ids` once if it looks at the
    token before each; it never advances the cache. After a whole forward pass the engine does, by
    the number of tokens it wants to keep.
    """

    @property
    def length(self) -> int:
        """Tokens stored, of the longest row; does not change during a forward pass."""
        ...

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of `layer` after `length`; return all there are so far,
        the new ones included: k_BHSK and v_BHSK with S = length + T. Keys come rotated."""
        ...

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        """Write the new tokens' ids after those stored; return them behind as many of the stored
        ones as the model looks back at, ids_BS; -1 where a row has none."""
        ...

    def hidden_keys(self, *, like: Tensor) -> Tensor | None:
        """Keys that `append` returns and a row has not, for rows of different lengths that read
        one token each: (B, 1, S) of 0 and -inf in the dtype of `like`. None if there are none."""
        ...
