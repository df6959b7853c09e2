"""Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) with rotary positions.

Shape letters: B batch, T time (queries), S time (keys), D width, H query heads, G key-value heads,
K head width, E = G·K.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.cache import KeyValueCache
from homespun.models.causal import attention_kernels, causal_attention
from homespun.models.extras import Gate
from homespun.models.linear import Linear, linears
from homespun.models.norm import RMSNorm
from homespun.models.position import Rotation, rotate

LONGEST_BLOCKWISE = 1024
"""Longest sequence `causal_attention` is used for without compiled kernels: it then keeps B·H·T²/2
attention weights for the backward pass, which at greater lengths outgrows the activations of the
rest of the layer."""


class Attention(nn.Module):
    """Every token gathers values from itself and earlier tokens, or from all.

    The four matrices are separate modules: on a processor one fused product is no faster than
    three, and separate ones are what optimisers that look at whole matrices (Muon), LoRA and
    export want.

    Args:
        width: D, width of the residual stream.
        num_heads: H.
        num_kv_heads: G, divides H; G = H is plain multi-head attention.
        head_width: K, even.
        qk_norm: normalise every query and key head before the rotation, as Qwen3 does
            (arXiv 2505.09388): keeps scores in range at high learning rates.
        norm_eps: eps of those norms.
        norm_weights: those norms have weights.
        value_gate: a gate for value embeddings, which the layer is then given.
        bias, out_bias: queries, keys and values have biases; what is gathered has one.
        head_gate: a gate for what each query head gathered (Qiu et al. 2025, arXiv 2505.06708): a
            head can turn itself off where it found nothing.
    """

    def __init__(  # noqa: PLR0913 - one switch a part
        self,
        width: int,
        num_heads: int,
        num_kv_heads: int,
        head_width: int,
        *,
        qk_norm: bool,
        norm_eps: float,
        norm_weights: bool = True,
        value_gate: bool = False,
        head_gate: bool = False,
        bias: bool = False,
        out_bias: bool = False,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_width = head_width
        self.query = Linear(width, num_heads * head_width, bias=bias)
        self.key = Linear(width, num_kv_heads * head_width, bias=bias)
        self.value = Linear(width, num_kv_heads * head_width, bias=bias)
        self.out = Linear(num_heads * head_width, width, bias=out_bias)
        self.query_norm = self.key_norm = None
        if qk_norm:
            self.query_norm = RMSNorm(head_width, norm_eps, weighted=norm_weights)
            self.key_norm = RMSNorm(head_width, norm_eps, weighted=norm_weights)
        self.value_gate = Gate(width, num_kv_heads) if value_gate else None
        self.head_gate = Gate(width, num_heads) if head_gate else None

    def forward(
        self,
        x_BTD: Tensor,
        rotation: Rotation | None,
        bias_BTS: Tensor | None = None,
        cache: KeyValueCache | None = None,
        layer: int = 0,
        value_BTE: Tensor | None = None,
    ) -> Tensor:
        """Returns (B, T, D).

        Args:
            x_BTD: normalised residual stream.
            rotation: of these tokens' positions; None where heads are not turned.
            bias_BTS: 0 where a query sees a key and -inf where not, (B, T, S) or (1, T, S), or
                numbers for each head as well, (1, H, T, S); None is causal, or all where attention
                is not causal.
            cache: keys and values of earlier tokens; the new ones are appended.
            layer: this layer's number, for the cache.
            value_BTE: value embeddings of these tokens, where the layer has some.
        """
        B, T, _ = x_BTD.shape
        q_BTE, k_BTE, v_BTE = linears(x_BTD, self.query, self.key, self.value)
        q_BTHK = q_BTE.view(B, T, self.num_heads, self.head_width)
        k_BTGK = k_BTE.view(B, T, self.num_kv_heads, self.head_width)
        v_BTGK = v_BTE.view(B, T, self.num_kv_heads, self.head_width)
        if self.value_gate is not None and value_BTE is not None:
            gate_BTG1 = self.value_gate(x_BTD)[..., None]
            v_BTGK = torch.addcmul(v_BTGK, gate_BTG1, value_BTE.view_as(v_BTGK))
        if self.query_norm is not None and self.key_norm is not None:
            q_BTHK, k_BTGK = self.query_norm(q_BTHK), self.key_norm(k_BTGK)
        if rotation is not None:
            q_BTHK, k_BTGK = rotate(q_BTHK, rotation), rotate(k_BTGK, rotation)
        q_BHTK, k_BGSK = q_BTHK.transpose(1, 2), k_BTGK.transpose(1, 2)
        v_BGSK = v_BTGK.transpose(1, 2)
        if cache is not None:
            k_BGSK, v_BGSK = cache.append(layer, k_BGSK, v_BGSK)
        attend_these = attend if self.causal else attend_all
        out_BHTK = attend_these(q_BHTK, k_BGSK, v_BGSK, bias_BTS)
        out_BTHK = out_BHTK.transpose(1, 2)
        if self.head_gate is not None:
            out_BTHK = out_BTHK * self.head_gate(x_BTD)[..., None]
        out_BTD: Tensor = self.out(out_BTHK.reshape(B, T, -1))
        return out_BTD


def attend(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, bias_BTS: Tensor | None = None
) -> Tensor:
    """`softmax(q kᵀ / sqrt(K) + bias) v` by whichever kernel is fastest here, as (B, H, T, K).

    Without a bias, query t sees keys 0 .. S-T+t: with as many keys as queries that is causal
    attention, and a single query sees all keys. A bias may differ from head to head, as
    (B, H, T, S); it then says as well what no query sees.
    """
    T, S = q_BHTK.shape[2], k_BGSK.shape[2]
    grouped = q_BHTK.shape[1] != k_BGSK.shape[1]
    longest = LONGEST_BLOCKWISE if attention_kernels(q_BHTK) is None else T
    has_heads = bias_BTS is not None and bias_BTS.ndim == 4
    if T == S and 1 < T <= longest and q_BHTK.device.type == "cpu" and not has_heads:
        return causal_attention(q_BHTK, k_BGSK, v_BGSK, bias_BTS)
    if bias_BTS is None and 1 < T < S:
        bias_BTS = hide_future(T, S, like=q_BHTK)
    if has_heads and _learns_in_bfloat16(q_BHTK):
        groups = q_BHTK.shape[1] // k_BGSK.shape[1]
        k_BHSK, v_BHSK = (x.repeat_interleave(groups, 1) for x in (k_BGSK, v_BGSK))
        return _attend_by_products(q_BHTK, k_BHSK, v_BHSK, bias_BTS)
    return F.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSK,
        attn_mask=_with_heads(bias_BTS),
        is_causal=bias_BTS is None and T > 1,
        enable_gqa=grouped,
    )


def attend_all(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, bias_BTS: Tensor | None = None
) -> Tensor:
    """`softmax(q kᵀ / sqrt(K) + bias) v`, every query seeing every key but for the bias, as
    (B, H, T, K). The slow version is `attend_obvious` with a bias of zeros."""
    bias = _with_heads(bias_BTS)
    grouped = q_BHTK.shape[1] != k_BGSK.shape[1]
    if _learns_in_bfloat16(q_BHTK) and not grouped:
        return _attend_by_products(q_BHTK, k_BGSK, v_BGSK, bias)
    return F.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=bias, enable_gqa=grouped
    )


def _learns_in_bfloat16(q_BHTK: Tensor) -> bool:
    """Whether torch's own backward pass is to be avoided: on processors, in bfloat16, it takes two
    to six times as long as plain products from 16 to 512 tokens (LOG.md)."""
    return (
        q_BHTK.requires_grad
        and q_BHTK.dtype == torch.bfloat16
        and q_BHTK.device.type == "cpu"
        and q_BHTK.shape[2] <= LONGEST_BLOCKWISE
    )


def _attend_by_products(
    q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, bias_BHTS: Tensor | None
) -> Tensor:
    """Scores are rounded once, before the softmax, whose sums are float32."""
    B, H, T, K = q_BHTK.shape
    S = k_BHSK.shape[2]
    k_NKS = k_BHSK.reshape(B * H, S, K).transpose(1, 2)
    q_NTK = q_BHTK.reshape(B * H, T, K)
    if bias_BHTS is None:
        scores_NTS = torch.bmm(q_NTK, k_NKS) * K**-0.5
    else:
        bias_NTS = bias_BHTS.expand(B, H, T, S).reshape(B * H, T, S).to(q_BHTK.dtype)
        scores_NTS = torch.baddbmm(bias_NTS, q_NTK, k_NKS, alpha=K**-0.5)
    out_NTK = torch.bmm(scores_NTS.softmax(-1), v_BHSK.reshape(B * H, S, K))
    return out_NTK.view(B, H, T, K)


def _with_heads(bias: Tensor | None) -> Tensor | None:
    """(B, T, S) as (B, 1, T, S); what has heads stays."""
    return bias[:, None] if bias is not None and bias.ndim == 3 else bias


def attend_obvious(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, bias_BTS: Tensor | None = None
) -> Tensor:
    """The slow version: one query of one head at a time, in float64."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    q, k, v = q_BHTK.double(), k_BGSK.double(), v_BGSK.double()
    rows = []
    for b in range(B):
        for h in range(H):
            for t in range(T):
                g = h // (H // G)
                scores_S = k[b, g] @ q[b, h, t] / K**0.5
                if bias_BTS is None:
                    scores_S = scores_S[: S - T + t + 1]
                else:
                    scores_S = scores_S + bias_BTS[b % bias_BTS.shape[0], t].double()
                rows.append(scores_S.softmax(0) @ v[b, g, : len(scores_S)])
    return torch.stack(rows).view(B, H, T, K).to(q_BHTK.dtype)


def hide_future(num_queries: int, num_keys: int, *, like: Tensor) -> Tensor:
    """(1, T, S) of 0 and -inf: the last query sees all keys, the one before all but one, …"""
    bias_TS = torch.full((num_queries, num_keys), float("-inf"), dtype=like.dtype)
    return bias_TS.triu_(num_keys - num_queries + 1).to(like.device)[None]


def hide_far(
    num_queries: int,
    num_keys: int,
    window: int,
    *,
    like: Tensor,
    positions_BT: Tensor | None = None,
) -> Tensor:
    """(1, T, S) of 0 and -inf: a query sees itself and the `window` - 1 keys before it, of those
    that `hide_future` lets it see, and all later ones. (B, T, S) where rows have queries at
    `positions_BT` and key s is at position s."""
    if positions_BT is not None:
        keys_S = torch.arange(num_keys, device=like.device)
        far_BTS = keys_S <= positions_BT[..., None] - window
        return torch.zeros_like(far_BTS, dtype=like.dtype).masked_fill_(far_BTS, float("-inf"))
    bias_TS = torch.full((num_queries, num_keys), float("-inf"), dtype=like.dtype)
    return bias_TS.tril_(num_keys - num_queries - window).to(like.device)[None]


def hide_behind_prefix(prefix_B: Tensor, num: int, *, like: Tensor) -> Tensor:
    """(B, 1, T, T) of 0 and -inf: the first `prefix_B` tokens of a row see each other both ways,
    later ones all that came before (a prefix language model, Raffel et al. 2020, arXiv 1910.10683,
    figure 4; GLM, Du et al. 2022, arXiv 2103.10360, figure 2). It has an axis of heads, since a
    bias without one is read as hiding more than the future and never less."""
    places_T = torch.arange(num, device=like.device)
    later_TT = places_T[None, :] > places_T[:, None]
    behind_BTT = later_TT & (places_T >= prefix_B[:, None].to(like.device))[:, None, :]
    bias_BTT = torch.zeros(behind_BTT.shape, dtype=like.dtype, device=like.device)
    return bias_BTT.masked_fill_(behind_BTT, float("-inf"))[:, None]


def hide_other_segments(segments_BT: Tensor, *, like: Tensor) -> Tensor:
    """(B, T, T) of 0 and -inf: a query sees the keys of its own segment up to itself."""
    T = segments_BT.shape[1]
    other_BTT = segments_BT[:, :, None] != segments_BT[:, None, :]
    bias_BTT = torch.zeros(other_BTT.shape, dtype=like.dtype, device=like.device)
    bias_BTT.masked_fill_(other_BTT, float("-inf"))
    return bias_BTT.add_(hide_future(T, T, like=like))
