"""Attention both ways within a prefix and causal behind it, against a slow and obvious twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.core import RequestError
from homespun.inference.search.writing import GrowingCache
from homespun.models import DecoderConfig
from homespun.models.attention import attend, hide_behind_prefix
from homespun.models.decoder import Decoder


def attend_behind_prefix_obvious(q: Tensor, k: Tensor, v: Tensor, prefix_B: Tensor) -> Tensor:
    """One query of one head at a time, in float64, over the keys it may see."""
    B, H, T, K = q.shape
    out = torch.zeros(B, H, T, K, dtype=torch.float64)
    for b in range(B):
        prefix = int(prefix_B[b])
        for h in range(H):
            g = h // (H // k.shape[1])
            for t in range(T):
                num = max(prefix, t + 1) if t < prefix else t + 1
                scores_S = k[b, g, :num].double() @ q[b, h, t].double() / K**0.5
                out[b, h, t] = scores_S.softmax(0) @ v[b, g, :num].double()
    return out.to(q.dtype)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_it_is_the_obvious_one(num_kv_heads: int) -> None:
    q_BHTK = draw(4, 4, 9, 8, seed=0).requires_grad_()
    k_BGSK, v_BGSK = draw(4, num_kv_heads, 9, 8, seed=1), draw(4, num_kv_heads, 9, 8, seed=2)
    prefix_B = torch.tensor([0, 1, 5, 9])
    bias = hide_behind_prefix(prefix_B, 9, like=q_BHTK)
    assert bias.shape == (4, 1, 9, 9)
    got = attend(q_BHTK, k_BGSK, v_BGSK, bias)
    want = attend_behind_prefix_obvious(q_BHTK, k_BGSK, v_BGSK, prefix_B)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-5)
    weight = draw(4, 4, 9, 8, seed=3)
    (mine,) = torch.autograd.grad((got * weight).sum(), q_BHTK)
    (theirs,) = torch.autograd.grad((want * weight).sum(), q_BHTK)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)
    causal = attend(q_BHTK, k_BGSK, v_BGSK)
    torch.testing.assert_close(got[:2], causal[:2], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(got[2:], causal[2:], atol=1e-2)


def decoder(**more: Any) -> Decoder:
    fields: dict[str, Any] = {
        "vocab_size": 31, "num_layers": 2, "width": 16, "num_heads": 2, "num_kv_heads": 1,
        "head_width": 8, "mlp_width": 24, "context": 40, **more,
    }  # fmt: skip
    model = DecoderConfig(**fields).build(torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.2)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"smear": True}, {"sliding_window": 6}])
def test_a_prefix_read_at_once_goes_on_token_by_token(more: dict[str, Any]) -> None:
    model = decoder(**more)
    ids_BT = torch.randint(31, (2, 20), generator=torch.Generator().manual_seed(3))
    prefix_B = torch.tensor([11, 11])
    whole = model(ids_BT, prefix_B=prefix_B)
    if not more:  # such a cache keeps no ids and hides no far keys
        cache = GrowingCache()
        parts = [model(ids_BT[:, :11], prefix_B=prefix_B, cache=cache)]
        for place in range(11, 20):
            cache.length = place
            parts.append(model(ids_BT[:, place : place + 1], cache=cache))
        torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
        with pytest.raises(RequestError, match="in one piece"):
            model(ids_BT[:, 11:], prefix_B=prefix_B, cache=cache)
    assert not torch.allclose(whole[:, 3], model(ids_BT)[:, 3], atol=1e-3)
    # Rows of one token of prefix are plainly causal.
    torch.testing.assert_close(
        model(ids_BT, prefix_B=torch.tensor([1, 0])), model(ids_BT), atol=1e-5, rtol=1e-5
    )
