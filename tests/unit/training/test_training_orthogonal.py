import pytest
import torch

from homespun.training.optim.orthogonal import orthogonalise, orthogonalise_one


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_stacked_newton_schulz_agrees_with_one_matrix_at_a_time(shape):
    stack = random(3, *shape)
    together = orthogonalise(stack)
    for number in range(3):
        torch.testing.assert_close(
            together[number], orthogonalise_one(stack[number]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_newton_schulz_brings_singular_values_near_one_and_keeps_the_directions(shape):
    matrix = random(1, *shape)
    result = orthogonalise(matrix)[0]
    u, _, vh = torch.linalg.svd(matrix[0], full_matrices=False)
    inner = u.T @ result @ vh.T  # singular values on the diagonal, in the matrix's own bases
    values = inner.diagonal()
    # The steep polynomial leaves values in about [0.7, 1.2]; the very smallest may lag behind.
    assert values.median() == pytest.approx(1.0, abs=0.3)
    assert values.max() < 1.3
    torch.testing.assert_close(inner, torch.diag(values), rtol=0, atol=1e-4)
