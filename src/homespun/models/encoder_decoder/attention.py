"""What a writer looks up in what was read.

Shape letters: B batch, T written tokens, S read tokens, D width, H heads, K head width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from homespun.models.attention import attend_all
from homespun.models.linear import Linear, linears


class KeysValues(NamedTuple):
    """Attributes:
    keys_BHSK, values_BHSK: of the read tokens, in one layer.
    """

    keys_BHSK: Tensor
    values_BHSK: Tensor

    def rows(self, chosen_B: Tensor) -> KeysValues:
        """Those of some rows, in that order, as beam search rearranges them."""
        return KeysValues(self.keys_BHSK[chosen_B], self.values_BHSK[chosen_B])


class CrossAttention(nn.Module):
    """Every written token gathers values from all read ones.

    Args:
        width: D, of both.
        num_heads: H.
        head_width: K.
        bias: all four products have one.
    """

    def __init__(self, width: int, num_heads: int, head_width: int, *, bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = Linear(width, num_heads * head_width, bias=bias)
        self.key = Linear(width, num_heads * head_width, bias=bias)
        self.value = Linear(width, num_heads * head_width, bias=bias)
        self.out = Linear(num_heads * head_width, width, bias=bias)

    def remember(self, memory_BSD: Tensor) -> KeysValues:
        """Keys and values of what was read: the same for every token that is written."""
        k_BSE, v_BSE = linears(memory_BSD, self.key, self.value)
        return KeysValues(self._heads(k_BSE), self._heads(v_BSE))

    def forward(self, x_BTD: Tensor, remembered: KeysValues, bias_BTS: Tensor | None) -> Tensor:
        """(B, T, D). `bias_BTS`: -inf where a read token is none, (B, 1, S); None sees all."""
        q_BHTK = self._heads(self.query(x_BTD))
        out_BHTK = attend_all(q_BHTK, remembered.keys_BHSK, remembered.values_BHSK, bias_BTS)
        y_BTD: Tensor = self.out(out_BHTK.transpose(1, 2).flatten(2))
        return y_BTD

    def weights(self, x_BTD: Tensor, remembered: KeysValues, bias_BTS: Tensor | None) -> Tensor:
        """How far each written token looks at each read one, float32 (B, H, T, S), 1 in sum."""
        q_BHTK = self._heads(self.query(x_BTD))
        scores_BHTS = q_BHTK @ remembered.keys_BHSK.transpose(2, 3) * q_BHTK.shape[-1] ** -0.5
        if bias_BTS is not None:
            scores_BHTS = scores_BHTS + bias_BTS[:, None]
        weights_BHTS: Tensor = scores_BHTS.float().softmax(-1)
        return weights_BHTS

    def _heads(self, x_BTE: Tensor) -> Tensor:
        B, T, E = x_BTE.shape
        return x_BTE.view(B, T, self.num_heads, E // self.num_heads).transpose(1, 2)
