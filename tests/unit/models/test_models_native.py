"""The compiled kernels against the obvious versions, values and gradients, in both types."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from homespun.classic import count_left_out
from homespun.core import ConfigError, TextBlocks
from homespun.models import DecoderConfig, NgramPrior, OrderTable
from homespun.models.attention import (
    attend,
    attend_obvious,
    hide_future,
    hide_other_segments,
)
from homespun.models.causal import causal_attention
from homespun.models.cross_entropy import (
    Known,
    cross_entropy_from_hidden,
    cross_entropy_obvious,
)
from homespun.models.linear import Linear, linears
from homespun.models.mlp import gated_silu, gated_silu_obvious, squared_relu, squared_relu_obvious
from homespun.models.native import (
    NativeKernels,
    active_kernels,
    load_kernels,
    use_kernels,
)
from homespun.models.native import library as library_module
from homespun.models.native.functions import NativeRMSNorm
from homespun.models.norm import rms_norm, rms_norm_obvious
from homespun.models.position import RotaryTables, rotate, rotate_obvious
from homespun.models.prior.copies import LONGEST, find_copies, find_copies_obvious

TYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> NativeKernels:
    try:
        return load_kernels(tmp_path_factory.mktemp("kernels"))
    except ConfigError as error:
        pytest.skip(str(error))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()


def agree(
    kernels: NativeKernels,
    fast: Callable[..., Tensor],
    obvious: Callable[..., Tensor],
    inputs: list[Tensor],
    tolerance: float,
) -> None:
    """The obvious version is computed in float32 from the very same numbers."""
    copies = [x.detach().float().requires_grad_() for x in inputs]
    want = obvious(*copies)
    upstream = torch.randn(want.shape, generator=torch.Generator().manual_seed(9))
    upstream = upstream.to(inputs[0].dtype)
    with use_kernels(kernels):
        got = fast(*inputs)
        got_grads = torch.autograd.grad(got, inputs, upstream)
    assert "Native" in type(got.grad_fn).__name__
    want_grads = torch.autograd.grad(want, copies, upstream.float())
    assert got.dtype == inputs[0].dtype
    torch.testing.assert_close(got.float(), want, atol=tolerance, rtol=tolerance)
    for x, y in zip(got_grads, want_grads, strict=True):
        assert (x.float() - y).norm() <= tolerance * (y.norm() + 1e-3)


@TYPES
@pytest.mark.parametrize("shape", [(7, 12), (2, 300, 64), (3, 5, 4, 32)])
def test_norm(
    kernels: NativeKernels, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    weight_D = normal(shape[-1], seed=1)
    agree(
        kernels,
        lambda x: rms_norm(x, weight_D, 1e-6),
        lambda x: rms_norm_obvious(x, weight_D, 1e-6),
        [normal(*shape, dtype=dtype)],
        tolerance,
    )


def test_norm_weights_get_their_gradient_and_may_be_missing(kernels: NativeKernels) -> None:
    x_ND, weight_D = normal(70, 24), normal(24, seed=1)
    agree(
        kernels,
        lambda x, w: rms_norm(x, w, 1e-6),
        lambda x, w: rms_norm_obvious(x, w, 1e-6),
        [x_ND, weight_D],
        1e-5,
    )
    bare = NativeRMSNorm.apply(kernels, x_ND, None, 1e-6)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(bare, rms_norm_obvious(x_ND, torch.ones(24), 1e-6))
    (gradient,) = torch.autograd.grad(bare.sum(), x_ND)
    want = torch.autograd.grad(rms_norm_obvious(x_ND, torch.ones(24), 1e-6).sum(), x_ND)
    torch.testing.assert_close(gradient, want[0], atol=1e-5, rtol=1e-5)


@TYPES
@pytest.mark.parametrize("heads", [3, 2])
@pytest.mark.parametrize("own_positions", [False, True])
def test_rotation(
    kernels: NativeKernels, heads: int, own_positions: bool, dtype: torch.dtype, tolerance: float
) -> None:
    positions_BT = torch.randint(0, 40, (2, 11), generator=torch.Generator().manual_seed(3))
    in_order_BT = torch.arange(11).expand(2, 11)
    x_BTHK = normal(2, 11, heads, 16, dtype=dtype)
    rotation = RotaryTables(3, 16, 100.0, 40).rotation(
        0, 11, positions_BT if own_positions else None, like=x_BTHK
    )
    agree(
        kernels,
        lambda x: rotate(x, rotation),
        lambda x: rotate_obvious(x, positions_BT if own_positions else in_order_BT, 100.0),
        [x_BTHK],
        tolerance,
    )


@TYPES
@pytest.mark.parametrize("size", [5, 40_000])
def test_activations(
    kernels: NativeKernels, size: int, dtype: torch.dtype, tolerance: float
) -> None:
    x_F, up_F = normal(size, dtype=dtype), normal(size, seed=1, dtype=dtype)
    agree(kernels, gated_silu, gated_silu_obvious, [x_F, up_F], tolerance)
    agree(kernels, squared_relu, squared_relu_obvious, [x_F], tolerance)


def test_activations_of_extreme_numbers(kernels: NativeKernels) -> None:
    x_F = torch.tensor([-1e30, -200.0, -88.5, -87.5, -1e-30, 0.0, 1e-30, 88.5, 200.0, 1e30])
    one_F = torch.ones_like(x_F)
    with use_kernels(kernels):
        got = gated_silu(x_F, one_F)
        nan = squared_relu(torch.tensor([float("nan")]))
        also = gated_silu(torch.tensor([float("nan")]), torch.ones(1))
    torch.testing.assert_close(got, torch.nn.functional.silu(x_F), atol=1e-8, rtol=1e-6)
    assert nan.isnan().all()
    assert also.isnan().all()


@TYPES
@pytest.mark.parametrize("heads", [(4, 4, 8), (4, 2, 32), (3, 1, 34)])
@pytest.mark.parametrize("length", [2, 63, 64, 65, 150])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention(
    kernels: NativeKernels,
    heads: tuple[int, int, int],
    length: int,
    with_bias: bool,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    H, G, K = heads
    q = normal(2, H, length, K, dtype=dtype)
    k, v = (normal(2, G, length, K, seed=seed, dtype=dtype) for seed in (1, 2))
    bias = None
    if with_bias:
        segments_BT = torch.arange(length).expand(2, length) // torch.tensor([[20], [33]])
        bias = hide_other_segments(segments_BT, like=q)
    agree(
        kernels,
        lambda q, k, v: causal_attention(q, k, v, bias),
        lambda q, k, v: attend_by_softmax(q, k, v, bias),
        [q, k, v],
        tolerance,
    )


def attend_by_softmax(q: Tensor, k: Tensor, v: Tensor, bias_BTT: Tensor | None) -> Tensor:
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    if bias_BTT is None:
        bias_BTT = hide_future(q.shape[2], q.shape[2], like=q)
    scores = q @ k.mT / q.shape[-1] ** 0.5 + bias_BTT[:, None]
    return scores.softmax(-1) @ v


def test_attention_agrees_with_the_loop_over_queries_in_any_layout(kernels: NativeKernels) -> None:
    q, k, v = (normal(2, 21, 4, 8, seed=seed).transpose(1, 2) for seed in range(3))
    with use_kernels(kernels):
        strided = causal_attention(q, k, v)
        packed = causal_attention(q.contiguous(), k.contiguous(), v.contiguous())
        one = torch.autograd.grad(strided.sum(), q)[0]  # its gradient is one number, expanded
    torch.testing.assert_close(strided, attend_obvious(q, k, v), atol=1e-6, rtol=1e-5)
    assert torch.equal(strided, packed)
    (want,) = torch.autograd.grad(attend_by_softmax(q, k, v, None).sum(), q)
    torch.testing.assert_close(one, want, atol=1e-5, rtol=1e-5)


@TYPES
def test_heads_of_an_odd_width_are_attended_to_rightly(
    kernels: NativeKernels, dtype: torch.dtype, tolerance: float
) -> None:
    q, k, v = (normal(2, 3, 50, 33, seed=seed, dtype=dtype) for seed in range(3))
    with use_kernels(kernels):
        got = attend(q, k, v)
        grads = torch.autograd.grad(got.float().square().sum(), (q, k, v))
    copies = [x.detach().float().requires_grad_() for x in (q, k, v)]
    want = attend_by_softmax(*copies, None)
    torch.testing.assert_close(got.float(), want, atol=tolerance, rtol=tolerance)
    wanted = torch.autograd.grad(want.square().sum(), copies)
    for x, y in zip(grads, wanted, strict=True):
        assert (x.float() - y).norm() <= 2 * tolerance * y.norm()


@TYPES
@pytest.mark.parametrize("block", [1, 7, 200])
def test_attention_does_not_depend_on_the_block(
    kernels: NativeKernels,
    block: int,
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(library_module, "ATTENTION_BLOCK", block)
    agree(
        kernels,
        causal_attention,
        lambda q, k, v: attend_by_softmax(q, k, v, None),
        [normal(1, 2, 50, 8, seed=seed, dtype=dtype) for seed in range(3)],
        tolerance,
    )


@TYPES
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("ignored", [0, 20])
@pytest.mark.parametrize("with_table", [False, True])
def test_cross_entropy(
    kernels: NativeKernels,
    softcap: float | None,
    ignored: int,
    with_table: bool,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    generator = torch.Generator().manual_seed(2)
    hidden_ND, weight_VD = normal(90, 16, dtype=dtype), normal(333, 16, seed=1)
    targets_N = torch.randint(333, (90,), generator=generator)
    targets_N[:ignored] = -100
    inputs, known = [hidden_ND, weight_VD], None
    if with_table:
        rows_NX = torch.randn(90, 340, generator=generator).log_softmax(-1)
        inputs.append(torch.rand(90, generator=generator).requires_grad_())
        known = Known(rows_NX[:, 7:], inputs[2])  # rows that do not touch
    options = {"softcap": softcap, "known": known}
    with use_kernels(kernels):
        got = cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N, chunk=32, **options)
        grads = torch.autograd.grad(got, inputs)
        with torch.no_grad():
            alone = cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N, **options)
    want = cross_entropy_obvious(hidden_ND, weight_VD, targets_N, **options)
    wanted = torch.autograd.grad(want, inputs)
    torch.testing.assert_close(got, want, atol=0, rtol=max(1e-6, tolerance / 10))
    torch.testing.assert_close(alone, got, atol=0, rtol=max(1e-6, tolerance / 10))
    for x, y in zip(grads, wanted, strict=True):
        assert (x.float() - y.float()).norm() <= tolerance * y.float().norm()


@pytest.mark.parametrize("num_words", [31, 40])
@pytest.mark.parametrize("with_blocks", [False, True])
@pytest.mark.parametrize("with_copies", [False, True])
def test_rows_of_a_table(
    kernels: NativeKernels, num_words: int, with_blocks: bool, with_copies: bool
) -> None:
    random = np.random.default_rng(0)
    stream = np.concatenate([np.append(39, random.integers(0, 30, 150) ** 2 % 31) for _ in "abcd"])
    blocks = TextBlocks(stream, end_of_text_id=39, num_blocks=3)
    counted = count_left_out(stream, order=4, vocab_size=40, end_of_text_id=39, blocks=blocks)
    prior = NgramPrior(40, [OrderTable.of(*own) for own in counted], num_words=num_words)
    if with_copies:
        prior = prior.with_copies(torch.linspace(0.0, 3.0, LONGEST + 1))
    ids_BT = torch.from_numpy(random.integers(0, 31, (3, 50)))
    ids_BT[0, :20] = torch.from_numpy(stream[100:120])
    ids_BT[1, 20:] = ids_BT[1, :30].clone()  # runs
    ids_BT[2, ::3] = 39  # marks that are no words of the fewer ones
    asked = {
        "last": 45,
        "positions_BT": torch.cat((torch.arange(17), torch.arange(33))).expand(3, 50),
        "blocks_BT": torch.from_numpy(random.integers(0, 3, (3, 50))) if with_blocks else None,
    }
    want = prior.log_probs(ids_BT, **asked)
    with use_kernels(kernels):
        got = prior.log_probs(ids_BT, **asked)
    assert got.shape == (3, 45, num_words)
    assert not torch.equal(got, want)  # rounded otherwise: it was the kernel
    torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("vocab_size", [2, 5, 40])
@pytest.mark.parametrize("has_texts", [False, True])
def test_runs_that_stood_before(kernels: NativeKernels, vocab_size: int, has_texts: bool) -> None:
    generator = torch.Generator().manual_seed(vocab_size)
    for length in (1, 7, 40, 300):
        ids = torch.randint(0, vocab_size, (3, length), generator=generator)
        ids[0, : length // 3] = -1  # before a row begins
        cut = length // 2 if has_texts else 0
        begins = [0] * cut + [cut] * (length - cut)
        positions = (torch.arange(length) - torch.tensor(begins)).expand(3, -1)
        last = length - length // 4
        with use_kernels(kernels):
            found = find_copies(ids, last=last, positions_BT=positions if has_texts else None)
        wanted = [find_copies_obvious(row.tolist(), begins)[length - last :] for row in ids]
        assert torch.equal(found, torch.tensor(wanted))


def test_logarithms_of_a_table_s_rows_at_the_ends_of_the_range(kernels: NativeKernels) -> None:
    p_XV = torch.cat((torch.logspace(-37.9, 0, 999), torch.tensor([0.0])))[None]
    got = kernels.table_rows(p_XV, torch.zeros(1, dtype=torch.int64), [], 1000)
    torch.testing.assert_close(got, p_XV.log(), atol=1e-7, rtol=3e-7)


# Rows of 1,024 numbers are copied, edges are no whole tiles, depths beyond a pass are added up.
@pytest.mark.parametrize(
    "sizes",
    [(0, 5, 3), (1, 1, 1), (5, 7, 3), (97, 33, 65), (130, 1024, 40), (7, 391, 16), (64, 1000, 100)],
)
@pytest.mark.parametrize("flipped", [(False, False), (True, False), (False, True), (True, True)])
def test_products(
    kernels: NativeKernels, sizes: tuple[int, int, int], flipped: tuple[bool, bool]
) -> None:
    rows, depth, columns = sizes
    a_NK, b_KM, plus_NM = normal(rows, depth), normal(depth, columns, seed=1), normal(rows, columns)
    a, b = (
        x.detach().T.contiguous().T if flip else x.detach()
        for x, flip in zip((a_NK, b_KM), flipped, strict=True)
    )
    want = a_NK.detach().double() @ b_KM.detach().double()
    got = kernels.product(a, b)
    torch.testing.assert_close(got.double(), want, atol=1e-4, rtol=1e-5)
    sum_NM = plus_NM.detach().clone()
    kernels.product(a, b, plus=sum_NM, out=sum_NM)
    torch.testing.assert_close(sum_NM.double(), want + plus_NM, atol=1e-4, rtol=1e-5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert torch.equal(kernels.product(a, b), got)
    finally:
        torch.set_num_threads(threads)


def test_layers_that_share_their_input_are_as_good_as_one_after_the_other(
    kernels: NativeKernels,
) -> None:
    if not kernels.has_product:
        pytest.skip("not on this processor")
    layers = [Linear(24, width) for width in (40, 7)]
    for seed, layer in enumerate(layers):
        layer.weight.data = normal(*layer.weight.shape, seed=seed).detach()
    x_BTD = normal(2, 9, 24, seed=5)
    weights = [layer.weight for layer in layers]
    seen: list[int] = []
    results = []
    for is_native, is_watched in ((True, False), (False, False), (False, True)):
        if is_watched:
            layers[1].register_forward_hook(lambda *_: seen.append(1))
        with use_kernels(kernels if is_native else None):
            outputs = linears(x_BTD, *layers)
        assert ("Native" in type(outputs[0].grad_fn).__name__) == is_native
        loss = outputs[0].square().sum() + outputs[1].sum()
        results.append([*outputs, *torch.autograd.grad(loss, [x_BTD, *weights])])
    assert seen == [1]
    for native, plain, watched in zip(*results, strict=True):
        torch.testing.assert_close(native, plain, atol=1e-4, rtol=1e-5)
        assert torch.equal(plain, watched)
    with use_kernels(kernels):
        frozen = linears(x_BTD.detach(), *layers)[0]
    assert torch.autograd.grad(frozen.sum(), weights[0])[0].shape == (40, 24)


@pytest.mark.parametrize("size", [1e3, 1e-3])
def test_cross_entropy_of_extreme_scores(kernels: NativeKernels, size: float) -> None:
    hidden_ND, weight_VD = normal(50, 12), normal(31, 12, seed=1)
    targets_N = torch.randint(31, (50,), generator=torch.Generator().manual_seed(2))
    with use_kernels(kernels):
        got = cross_entropy_from_hidden(hidden_ND * size, weight_VD, targets_N)
        grads = torch.autograd.grad(got, (hidden_ND, weight_VD))
    torch.testing.assert_close(got, cross_entropy_obvious(hidden_ND * size, weight_VD, targets_N))
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("segments", [False, True])
def test_a_model_trains_the_same_and_repeats_to_the_last_bit(
    kernels: NativeKernels, segments: bool
) -> None:
    config = DecoderConfig(
        vocab_size=97,
        num_layers=2,
        width=48,
        num_heads=4,
        num_kv_heads=2,
        head_width=16,
        mlp_width=80,
        context=140,
    )
    model = config.build(torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(4)
    for parameter in model.parameters():  # none at zero, else some gradients would be
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.1)
    ids_BT = torch.randint(97, (3, 141), generator=torch.Generator().manual_seed(1))
    segments_BT = (torch.arange(140) // 50).expand(3, 140) if segments else None

    def gradients() -> list[Tensor]:
        hidden_BTD = model(ids_BT[:, :-1], segments_BT=segments_BT)
        loss = model.next_token_loss(hidden_BTD, ids_BT[:, 1:])
        return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]

    want = gradients()
    with use_kernels(kernels):
        got, again = gradients(), gradients()
    for x, y, z in zip(got, want, again, strict=True):
        assert torch.equal(x, z)
        assert not torch.equal(x, y) or x.numel() == 1
        assert (x - y).norm() < 2e-5 * y.norm()


def test_kernels_are_used_inside_the_block_only_and_only_where_they_can(
    kernels: NativeKernels,
) -> None:
    assert active_kernels(torch.ones(1)) is None
    with use_kernels(kernels):
        assert active_kernels(torch.ones(1)) is kernels
        assert active_kernels(torch.ones(1, dtype=torch.float64)) is None
        assert active_kernels(torch.ones(1, device="meta")) is None
        with use_kernels(None):
            assert active_kernels(torch.ones(1)) is None
    assert active_kernels(torch.ones(1)) is None
