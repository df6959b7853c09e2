"""The chunked loss against the one that holds all scores."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from homespun.models import cross_entropy as module
from homespun.models.cross_entropy import cross_entropy_from_hidden, cross_entropy_obvious


def case(rows: int = 50, width: int = 12, words: int = 31) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden_ND = torch.randn(rows, width, generator=generator).requires_grad_()
    weight_VD = torch.randn(words, width, generator=generator).requires_grad_()
    targets_N = torch.randint(0, words, (rows,), generator=generator)
    return hidden_ND, weight_VD, targets_N


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss * 0.37, inputs)


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("chunk", [1, 7, 50, 512])
@pytest.mark.parametrize("ignored", [0, 13, 50])
def test_loss_and_gradients_agree_with_all_scores_at_once(
    chunk: int, ignored: int, softcap: float | None
) -> None:
    hidden_ND, weight_VD, targets_N = case()
    targets_N[:ignored] = -100
    got = cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N, softcap=softcap, chunk=chunk)
    want = cross_entropy_obvious(hidden_ND, weight_VD, targets_N, softcap=softcap)
    torch.testing.assert_close(got, want)
    for x, y in zip(
        gradients(got, hidden_ND, weight_VD), gradients(want, hidden_ND, weight_VD), strict=True
    ):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("softcap", [None, 15.0])
def test_bfloat16_loss_and_gradients_stay_near_float32(softcap: float | None) -> None:
    hidden_ND, weight_VD, targets_N = case(rows=300, width=64, words=500)
    half_ND = hidden_ND.detach().bfloat16().requires_grad_()
    got = cross_entropy_from_hidden(half_ND, weight_VD, targets_N, softcap=softcap, chunk=128)
    want = cross_entropy_obvious(hidden_ND, weight_VD, targets_N, softcap=softcap)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(want.item(), rel=2e-3)
    grad_ND, grad_VD = gradients(got, half_ND, weight_VD)
    want_ND, want_VD = gradients(want, hidden_ND, weight_VD)
    assert grad_VD.dtype == torch.float32
    assert (grad_ND.float() - want_ND).norm() < 0.02 * want_ND.norm()
    assert (grad_VD - want_VD).norm() < 0.02 * want_VD.norm()


class Products(TorchDispatchMode):
    """Notes the shapes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[Any, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten.mm:
            self.shapes.add(tuple(tuple(matrix.shape) for matrix in args[:2]))
        return func(*args, **(kwargs or {}))


def test_products_of_bfloat16_have_few_shapes_however_many_targets_there_are() -> None:
    """For each the processor's library keeps half a megabyte: chat batches took 400 MB so."""
    with Products() as products:
        for rows in range(1, 200, 3):
            hidden_ND, weight_VD, targets_N = case(rows, width=16, words=40)
            half_ND = hidden_ND.detach().bfloat16().requires_grad_()
            cross_entropy_from_hidden(half_ND, weight_VD, targets_N, chunk=128)
    # Of 64 and 128 rows, and three products of each.
    assert len(products.shapes) == 6


@pytest.mark.parametrize("rows", [1, 50, 64, 65, 300, 511, 700])
@pytest.mark.parametrize("ignored", [0, 1])
@pytest.mark.parametrize("softcap", [None, 15.0])
def test_zeros_behind_rows_of_bfloat16_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, rows: int, ignored: int, softcap: float | None
) -> None:
    hidden_ND, weight_VD, targets_N = case(rows, width=64, words=500)
    targets_N[:ignored] = -100
    half_ND = hidden_ND.detach().bfloat16().requires_grad_()

    def found() -> tuple[Tensor, ...]:
        loss = cross_entropy_from_hidden(half_ND, weight_VD, targets_N, softcap=softcap)
        return (loss, *gradients(loss, half_ND, weight_VD))

    padded = found()
    monkeypatch.setattr(module, "PADDED", 1)
    for got, want in zip(padded, found(), strict=True):
        assert got.shape == want.shape
        assert torch.equal(got, want)


def test_bfloat16_gradients_are_right_where_the_model_is_sure_of_the_target() -> None:
    # Every word but the target has a score of 0, and the target's probability is 1 - about 0.002:
    # less than half a step of bfloat16 below 1.
    rows, width = 16, 32
    hidden_ND = torch.zeros(rows, width)
    hidden_ND[torch.arange(rows), torch.arange(rows)] = 3.0
    weight_VD = torch.zeros(40, width)
    weight_VD[torch.arange(rows), torch.arange(rows)] = 3.3125
    hidden_ND.requires_grad_()
    weight_VD.requires_grad_()
    targets_N = torch.arange(rows)
    want = gradients(cross_entropy_obvious(hidden_ND, weight_VD, targets_N), hidden_ND, weight_VD)
    half_ND = hidden_ND.detach().bfloat16().requires_grad_()
    loss = cross_entropy_from_hidden(half_ND, weight_VD, targets_N)
    assert 0 < loss.item() / rows < 0.004
    for got, right in zip(gradients(loss, half_ND, weight_VD), want, strict=True):
        torch.testing.assert_close(got.float(), right, rtol=0.02, atol=1e-6)


def test_only_the_gradients_asked_for_are_made() -> None:
    hidden_ND, weight_VD, targets_N = case()
    loss = cross_entropy_from_hidden(hidden_ND.detach(), weight_VD, targets_N)
    loss.backward()
    assert hidden_ND.grad is None
    assert weight_VD.grad is not None
    frozen = cross_entropy_from_hidden(hidden_ND.detach(), weight_VD.detach(), targets_N)
    assert not frozen.requires_grad
    assert frozen.item() == pytest.approx(loss.item())


@pytest.mark.parametrize(("with_gradients", "products"), [(False, 1), (True, 3)])
def test_without_gradients_only_the_scores_are_computed(
    with_gradients: bool, products: int
) -> None:
    hidden_ND, weight_VD, targets_N = case()
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(with_gradients):
        cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N, chunk=25)
    assert counter.get_total_flops() == products * 2 * 50 * 31 * 12


def test_targets_may_be_of_any_integer_type() -> None:
    hidden_ND, weight_VD, targets_N = case()
    got = cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N.int())
    assert got.item() == cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N).item()


def test_a_softcap_bounds_the_loss_of_any_row() -> None:
    hidden_ND, weight_VD, targets_N = case()
    loss = cross_entropy_from_hidden(hidden_ND * 1e3, weight_VD, targets_N, softcap=5.0)
    assert loss.item() / len(targets_N) < 10 + math.log(len(weight_VD))
    uncapped = cross_entropy_from_hidden(hidden_ND * 1e3, weight_VD, targets_N)
    assert uncapped.item() / len(targets_N) > 1e3


@pytest.mark.parametrize("size", [1e3, 1e-3])
def test_extreme_scores_give_the_exact_loss(size: float) -> None:
    hidden_ND, weight_VD, targets_N = case()
    hidden_ND = (hidden_ND.detach() * size).requires_grad_()
    got = cross_entropy_from_hidden(hidden_ND, weight_VD, targets_N)
    torch.testing.assert_close(got, cross_entropy_obvious(hidden_ND, weight_VD, targets_N))
    assert all(g.isfinite().all() for g in gradients(got, hidden_ND, weight_VD))


@pytest.mark.parametrize("target", [-1, 31])
def test_a_target_that_is_no_word_is_refused(target: int) -> None:
    hidden, weight, targets = case()
    targets[3] = target
    with pytest.raises(IndexError, match="targets run from 0 to 30"):
        cross_entropy_from_hidden(hidden, weight, targets)
