"""Every block's fast version against its obvious one, values and gradients."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.attention import attend, attend_obvious, hide_future, hide_other_segments
from homespun.models.causal import BLOCK, causal_attention
from homespun.models.embedding import Embedding
from homespun.models.linear import Linear, linears
from homespun.models.mlp import (
    SwiGLU,
    gated_silu,
    gated_silu_obvious,
    squared_relu,
    squared_relu_obvious,
)
from homespun.models.norm import RMSNorm, rms_norm, rms_norm_obvious
from homespun.models.position import RotaryTables, rotate, rotate_obvious


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()


def assert_same_with_gradients(
    fast: Callable[..., Tensor],
    obvious: Callable[..., Tensor],
    inputs: list[Tensor],
    tolerance: float,
) -> None:
    copies = [x.detach().clone().requires_grad_() for x in inputs]
    got, want = fast(*inputs), obvious(*copies)
    assert got.dtype == want.dtype
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)
    upstream = torch.randn(want.shape, generator=torch.Generator().manual_seed(99)).to(want.dtype)
    got.backward(upstream)
    want.backward(upstream)
    for x, y in zip(inputs, copies, strict=True):
        torch.testing.assert_close(x.grad, y.grad, atol=tolerance, rtol=tolerance)


def test_linear_computes_in_the_activations_dtype_and_its_gradient_is_float32() -> None:
    linear = Linear(8, 4)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(1))
    x_ND = normal(5, 8, dtype=torch.bfloat16)
    y_NF = linear(x_ND)
    y_NF.sum().backward()
    assert y_NF.dtype == torch.bfloat16
    assert linear.weight.dtype == torch.float32
    assert linear.weight.grad is not None
    assert linear.weight.grad.dtype == torch.float32
    torch.testing.assert_close(linear(x_ND.float()), x_ND.float() @ linear.weight.T)


@pytest.mark.parametrize(
    "kind",
    [
        "register_forward_pre_hook",
        "register_forward_hook",
        "register_full_backward_pre_hook",
        "register_full_backward_hook",
    ],
)
def test_who_hooks_one_of_several_products_is_told_of_it(kind: str) -> None:
    layers = [Linear(8, 4), Linear(8, 6)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight)
    told: list[int] = []
    getattr(layers[1], kind)(lambda *_: told.append(1))
    sum(y_NF.sum() for y_NF in linears(normal(5, 8), *layers)).backward()
    assert told == [1]


def test_embedding_gathers_rows_and_sums_their_gradients_in_float32() -> None:
    embedding = Embedding(10, 4)
    torch.nn.init.normal_(embedding.weight, generator=torch.Generator().manual_seed(1))
    x_BTD = embedding(torch.tensor([[3, 3, 7]]), torch.bfloat16)
    x_BTD.sum().backward()
    assert x_BTD.dtype == torch.bfloat16
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.dtype == torch.float32
    assert embedding.weight.grad[:, 0].tolist() == [0, 0, 0, 2, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("shape", [(7, 12), (2, 3, 4, 8)])
def test_rms_norm_agrees_with_the_obvious_version(shape: tuple[int, ...]) -> None:
    weight_D = normal(shape[-1], seed=1)
    assert_same_with_gradients(
        lambda x, w: rms_norm(x, w, 1e-6),
        lambda x, w: rms_norm_obvious(x, w, 1e-6),
        [normal(*shape), weight_D],
        1e-5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norm_is_the_same_with_and_without_gradients(dtype: torch.dtype) -> None:
    x_ND, weight_D = normal(5, 12, dtype=dtype), normal(12, seed=1)
    with torch.no_grad():
        without = rms_norm(x_ND, weight_D, 1e-6)
    torch.testing.assert_close(rms_norm(x_ND, weight_D, 1e-6), without, atol=1e-6, rtol=2**-8)


def test_rms_norm_agrees_with_torch() -> None:
    norm = RMSNorm(16, eps=1e-3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(2))
    x_ND = normal(9, 16)
    want = F.rms_norm(x_ND, (16,), norm.weight, 1e-3)
    torch.testing.assert_close(norm(x_ND), want, atol=1e-6, rtol=1e-6)


def test_rms_norm_in_bfloat16_is_the_float32_result_rounded_once() -> None:
    x_ND = normal(64, 32, dtype=torch.bfloat16).detach()
    weight_D = normal(32, seed=1).detach()
    y_ND = rms_norm(x_ND, weight_D, 1e-6)
    exact_ND = rms_norm_obvious(x_ND.float(), weight_D, 1e-6)
    assert y_ND.dtype == torch.bfloat16
    torch.testing.assert_close(y_ND.float(), exact_ND, atol=1e-6, rtol=2**-8)


def test_rms_norm_leaves_its_input_alone() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x_ND = normal(4, 8, dtype=dtype)
        before = x_ND.detach().clone()
        rms_norm(x_ND, torch.ones(8), 1e-6).sum().backward()
        assert torch.equal(x_ND, before)


@pytest.mark.parametrize("base", [10_000.0, 500.0])
def test_rotation_agrees_with_complex_multiplication(base: float) -> None:
    tables = RotaryTables(num_heads=3, head_width=8, base=base, length=50)
    positions_BT = torch.arange(50)[None]
    x_BTHK = normal(2, 50, 3, 8)
    rotation = tables.rotation(0, 50, None, like=x_BTHK)
    assert_same_with_gradients(
        lambda x: rotate(x, rotation),
        lambda x: rotate_obvious(x, positions_BT, base),
        [x_BTHK],
        1e-5,
    )


def test_rotation_takes_positions_of_each_row_and_fewer_heads() -> None:
    tables = RotaryTables(num_heads=4, head_width=6, base=100.0, length=30)
    positions_BT = torch.tensor([[0, 1, 2, 0], [29, 5, 5, 3]])
    x_BTHK = normal(2, 4, 2, 6).detach()
    got = rotate(x_BTHK, tables.rotation(0, 4, positions_BT, like=x_BTHK))
    torch.testing.assert_close(got, rotate_obvious(x_BTHK, positions_BT, 100.0))


def test_rotated_scores_depend_on_the_distance_alone() -> None:
    tables = RotaryTables(num_heads=1, head_width=16, base=10_000.0, length=200)
    q, k = normal(1, 1, 1, 16).detach(), normal(1, 1, 1, 16, seed=1).detach()

    def score(query_at: int, key_at: int) -> float:
        turned_q = rotate(q, tables.rotation(query_at, query_at + 1, None, like=q))
        turned_k = rotate(k, tables.rotation(key_at, key_at + 1, None, like=k))
        return (turned_q * turned_k).sum().item()

    assert score(7, 3) == pytest.approx(score(150, 146), abs=1e-4)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)


def test_gated_silu_agrees_with_the_formula() -> None:
    inputs = [normal(6, 10), normal(6, 10, seed=1)]
    assert_same_with_gradients(gated_silu, gated_silu_obvious, inputs, 1e-6)


def test_squared_relu_agrees_with_the_formula() -> None:
    assert_same_with_gradients(squared_relu, squared_relu_obvious, [normal(9, 16)], 1e-6)
    half = [normal(9, 16, dtype=torch.bfloat16)]
    assert_same_with_gradients(squared_relu, squared_relu_obvious, half, 0.02)


def test_swiglu_is_down_of_gated_up() -> None:
    mlp = SwiGLU(6, 10)
    for i, parameter in enumerate(mlp.parameters()):
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(i))
    x_ND = normal(3, 6).detach()
    gate_NF, up_NF = x_ND @ mlp.gate.weight.T, x_ND @ mlp.up.weight.T
    torch.testing.assert_close(mlp(x_ND), (F.silu(gate_NF) * up_NF) @ mlp.down.weight.T)


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("length", [1, 5, 19])
def test_attention_agrees_with_a_loop_over_queries(heads: tuple[int, int], length: int) -> None:
    num_heads, num_kv_heads = heads
    inputs = [
        normal(2, num_heads, length, 8),
        normal(2, num_kv_heads, length, 8, seed=1),
        normal(2, num_kv_heads, length, 8, seed=2),
    ]
    assert_same_with_gradients(attend, attend_obvious, inputs, 1e-5)


@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, 2 * BLOCK + 17])
def test_blockwise_attention_agrees_with_torch_across_block_borders(length: int) -> None:
    inputs = [normal(1, 4, length, 16), normal(1, 2, length, 16), normal(1, 2, length, 16, seed=2)]
    assert_same_with_gradients(
        causal_attention,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        inputs,
        2e-5,
    )


def test_blockwise_attention_with_a_bias_agrees_with_the_loop() -> None:
    segments_BT = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1]])
    inputs = [normal(2, 4, 6, 8), normal(2, 2, 6, 8, seed=1), normal(2, 2, 6, 8, seed=2)]
    bias_BTT = hide_other_segments(segments_BT, like=inputs[0])
    assert_same_with_gradients(
        lambda q, k, v: attend(q, k, v, bias_BTT),
        lambda q, k, v: attend_obvious(q, k, v, bias_BTT),
        inputs,
        1e-5,
    )


@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_in_bfloat16_stays_near_float32(with_bias: bool) -> None:
    length = BLOCK + 30
    inputs = [normal(2, 4, length, 32, seed=i, dtype=torch.bfloat16) for i in range(3)]
    exact = [x.detach().float().requires_grad_() for x in inputs]
    bias = hide_future(length, length, like=inputs[0]) if with_bias else None
    bias = bias.expand(2, -1, -1) if bias is not None else None
    got = causal_attention(*inputs, bias)
    want = F.scaled_dot_product_attention(*exact, is_causal=True)
    upstream = normal(*want.shape, seed=9).detach()
    got.backward(upstream.bfloat16())
    want.backward(upstream)
    assert (got.float() - want).norm() < 0.01 * want.norm()
    for x, y in zip(inputs, exact, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        assert (x.grad.float() - y.grad).norm() < 0.01 * y.grad.norm()


def test_fewer_queries_than_keys_see_all_earlier_keys() -> None:
    q, k, v = normal(1, 2, 3, 8), normal(1, 2, 10, 8, seed=1), normal(1, 2, 10, 8, seed=2)
    torch.testing.assert_close(attend(q, k, v), attend_obvious(q, k, v), atol=1e-5, rtol=1e-5)
    one = q[:, :, -1:]
    torch.testing.assert_close(attend(one, k, v), attend(q, k, v)[:, :, -1:], atol=1e-5, rtol=1e-5)


def test_hidden_future_is_a_triangle_that_ends_at_the_last_key() -> None:
    seen_TS = hide_future(2, 5, like=torch.zeros(()))[0] == 0
    assert seen_TS.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_layer_norm_agrees_with_the_obvious_one() -> None:
    from homespun.models.norm import LayerNorm, layer_norm_obvious

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 16, generator=generator) * 3 + 2
    norm = LayerNorm(16, 1e-3)
    assert norm.weight is not None
    assert norm.bias is not None
    with torch.no_grad():
        norm.weight.normal_(1, 0.3, generator=generator)
        norm.bias.normal_(0, 0.3, generator=generator)
    want = layer_norm_obvious(x, norm.weight, norm.bias, 1e-3)
    torch.testing.assert_close(norm(x), want, atol=1e-6, rtol=1e-5)
    half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), want, atol=0.05, rtol=0.02)


def test_a_window_hides_what_is_far_and_nothing_else() -> None:
    from homespun.models.attention import hide_far, hide_future

    like = torch.zeros(1)
    for num_queries, num_keys, window in [(5, 5, 2), (1, 6, 3), (3, 7, 1), (4, 4, 9)]:
        bias = hide_future(num_queries, num_keys, like=like)
        bias = (bias + hide_far(num_queries, num_keys, window, like=like))[0]
        for t in range(num_queries):
            query = num_keys - num_queries + t
            seen = [key for key in range(num_keys) if bias[t, key] == 0]
            assert seen == list(range(max(0, query - window + 1), query + 1))
