import math

import numpy as np
import pytest
import torch

from homespun.training.optim.orthogonal import coefficients, methods
from homespun.training.optim.orthogonal.coefficients import best_quintic, halley, polar_express
from homespun.training.optim.orthogonal.inverse import LEAF, invert_
from homespun.training.optim.orthogonal.methods import (
    halley_one,
    orthogonalise,
    orthogonalise_one,
    quintics_one,
)

SLOW = {
    "quintic": orthogonalise_one,
    "polar_express": lambda matrix: quintics_one(matrix, polar_express(5)),
    "halley": halley_one,
}
# What is left of each method's error of values from 0.004 of the largest on.
ERRORS = {"quintic": 0.54, "polar_express": 0.15, "halley": 0.02}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_values(values: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """A matrix of these singular values."""
    u = torch.linalg.qr(random(rows, len(values), seed=1).double())[0]
    v = torch.linalg.qr(random(columns, len(values), seed=2).double())[0]
    return (u * values @ v.T).float()


@pytest.mark.parametrize("method", SLOW)
@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (70, 110), (131, 64)])
def test_a_stack_agrees_with_one_matrix_at_a_time(method, shape):
    stack = random(11, *shape)
    together = orthogonalise(stack, method)
    assert together.shape == stack.shape
    for number in (0, 10):
        expected = SLOW[method](stack[number].double()).float()
        torch.testing.assert_close(together[number], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", SLOW)
@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16), (100, 100)])
def test_singular_values_come_near_one_and_directions_stay(method, shape):
    smaller = min(shape)
    values = torch.logspace(-2.4, 0, smaller, dtype=torch.float64)
    # The norm that values are divided by first is up to twice the largest here.
    matrix = with_values(values, *shape)
    result = orthogonalise(matrix[None], method)[0].double()
    u, _, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    inner = u.T @ result @ vh.T  # singular values on the diagonal, in the matrix's own bases
    kept = inner.diagonal()[: smaller * 2 // 3]
    assert float((kept - 1.0).abs().max()) < ERRORS[method]
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", SLOW)
def test_size_does_not_matter_and_zero_stays_zero(method):
    matrix = random(2, 8, 12)
    usual = orthogonalise(matrix, method)
    for factor in (1e-3, 1e4):
        torch.testing.assert_close(orthogonalise(factor * matrix, method), usual, rtol=0, atol=1e-3)
    assert torch.equal(orthogonalise(torch.zeros(2, 8, 12), method), torch.zeros(2, 8, 12))


def test_halley_stands_rank_one_and_bfloat16():
    rank_one = random(1, 50, 1) @ random(1, 1, 60, seed=3)
    result = orthogonalise(rank_one, "halley")
    values = torch.linalg.svdvals(result[0])
    assert float(values[0]) == pytest.approx(1.0, abs=0.02)
    assert float(values[1]) < 0.3
    lopsided = random(1, 130, 130) + 300 * random(1, 130, 1) @ random(1, 1, 130, seed=3)
    torch.testing.assert_close(
        orthogonalise(lopsided, "halley")[0],
        halley_one(lopsided[0].double()).float(),
        rtol=0,
        atol=0.02,
    )
    rounded = orthogonalise(random(2, 60, 50).bfloat16(), "halley")
    assert rounded.dtype == torch.bfloat16
    assert bool(rounded.isfinite().all())


def test_auto_takes_halley_for_float32_and_polar_express_for_bfloat16():
    matrix = random(2, 8, 12)
    assert torch.equal(orthogonalise(matrix, "auto"), orthogonalise(matrix, "halley"))
    half = matrix.bfloat16()
    assert torch.equal(orthogonalise(half, "auto"), orthogonalise(half, "polar_express"))
    assert not torch.equal(orthogonalise(matrix, "halley"), orthogonalise(matrix, "polar_express"))


def test_what_is_treated_in_chunks_is_as_it_is_alone(monkeypatch):
    stack = random(7, 60, 50)
    whole = orthogonalise(stack, "halley")
    monkeypatch.setattr(methods, "CHUNK_NUMBERS", 1)
    monkeypatch.setattr(methods, "MIN_CHUNK", 3)
    torch.testing.assert_close(orthogonalise(stack, "halley"), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, LEAF, LEAF + 1, 130])
def test_inverses_agree_with_lapacks(size):
    root = random(3, size, size + 5)
    matrix = root @ root.mT / size + 0.01 * torch.eye(size)
    inverse = matrix.clone()
    invert_(inverse)
    expected = torch.linalg.inv(matrix.double()).float()
    torch.testing.assert_close(inverse, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))


def test_best_quintics_error_is_as_large_as_it_gets_at_four_points():
    for lower, upper in ((0.05, 1.0), (0.3, 1.9)):
        quintic = best_quintic(lower, upper)
        x = np.linspace(lower, upper, 200_001)
        error = quintic.a * x + quintic.b * x**3 + quintic.c * x**5 - 1.0
        size = float(np.abs(error).max())
        # Chebyshev: an error of one size with alternating signs at four points is the least.
        extreme = error[np.abs(error) > size * (1 - 1e-6)]
        assert int((np.diff(np.sign(extreme)) != 0).sum()) == 3


def test_polar_express_has_the_numbers_of_its_paper():
    # arXiv 2505.16932, listing 1, first rounds for a lower bound of 0.001; not yet divided for
    # safety.
    published = [
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    ]
    for ours, theirs in zip(polar_express(5), published, strict=False):
        assert ours.scaled(coefficients.SAFETY, 1.0) == pytest.approx(theirs, rel=1e-6)


def test_each_halley_function_is_the_best_of_its_form():
    lower = 1e-3
    for function in halley(3):
        x = np.geomspace(lower, 1.0, 100_001)
        y = x * (function.a + function.b * x**2) / (1 + function.c * x**2)
        assert y.max() <= 1 + 1e-9
        assert y.min() == pytest.approx(function(lower), rel=1e-6)
        # Best: the least value is met again between the ends.
        inside = (x > 2 * lower) & (x < 0.9)
        if function is not halley(3)[-1]:
            assert y[inside].min() == pytest.approx(function(lower), rel=1e-3)
        lower = function(lower)
    assert lower == pytest.approx(1.0, abs=1e-5)
    assert math.isclose(halley(1)[0](1.0), 1.0)
