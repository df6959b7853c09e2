import pytest
import torch
from torch import nn

from homespun.core import CheckpointError
from homespun.models import DecoderConfig
from homespun.training import (
    OptimizerConfig,
    beta2_for,
    build_optimizer,
)
from homespun.training.optim import parameter_roles
from homespun.training.optim.adamw import AdamW, adamw_one
from homespun.training.optim.muon import Muon, orthogonalise, orthogonalise_one, update_scale

SETTINGS = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decoder(*, tied: bool = True) -> nn.Module:
    config = DecoderConfig(
        vocab_size=11,
        num_layers=2,
        width=8,
        num_heads=2,
        num_kv_heads=1,
        head_width=4,
        mlp_width=16,
        context=8,
        tied=tied,
    )
    return config.build(torch.Generator().manual_seed(0))


def give_gradients(model: nn.Module, seed: int) -> None:
    for place, parameter in enumerate(model.parameters()):
        parameter.grad = random(*parameter.shape, seed=1000 * seed + place)


def test_adamw_agrees_with_the_plain_version_and_with_torch():
    start = random(5, 7)
    gradients = [random(5, 7, seed=seed) for seed in range(1, 9)]
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = AdamW({"w": ours}, decayed=frozenset({"w"}), learning_rate=0.01, **SETTINGS)
    reference = torch.optim.AdamW([theirs], lr=0.01, foreach=False, **SETTINGS)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step(1.0)
        reference.step()
    plain = adamw_one(start, gradients, learning_rate=0.01, **SETTINGS)
    torch.testing.assert_close(ours.detach(), plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, start, atol=0.05)


def test_adamw_decays_only_what_it_is_told_and_leaves_alone_what_has_no_gradient():
    parameters = {name: nn.Parameter(torch.ones(3)) for name in ("decayed", "spared", "idle")}
    optimizer = AdamW(parameters, decayed=frozenset({"decayed"}), learning_rate=0.5, **SETTINGS)
    parameters["decayed"].grad = parameters["spared"].grad = torch.zeros(3)
    optimizer.step(1.0)
    assert parameters["decayed"].tolist() == pytest.approx([0.95] * 3)
    assert parameters["spared"].tolist() == parameters["idle"].tolist() == [1.0] * 3


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


def test_muon_agrees_with_its_algorithm_written_out():
    names = ["a", "b", "c"]
    start = {"a": random(4, 6, seed=1), "b": random(4, 6, seed=2), "c": random(6, 4, seed=3)}
    parameters = {name: nn.Parameter(start[name].clone()) for name in names}
    muon = Muon(parameters, learning_rate=0.02, momentum=0.9, weight_decay=0.1)
    expected = {name: start[name].clone() for name in names}
    running = {name: torch.zeros_like(start[name]) for name in names}
    for step in range(4):
        for place, name in enumerate(names):
            gradient = random(*start[name].shape, seed=10 * step + place)
            parameters[name].grad = gradient.clone()
            running[name] = 0.9 * running[name] + 0.1 * gradient
            ahead = 0.1 * gradient + 0.9 * running[name]
            expected[name] *= 1 - 0.5 * 0.02 * 0.1
            scale = update_scale((4, 6))
            expected[name] -= 0.5 * 0.02 * scale * orthogonalise_one(ahead)
        muon.step(0.5)
    for name in names:
        torch.testing.assert_close(parameters[name].detach(), expected[name], rtol=1e-4, atol=1e-5)


def test_muons_update_is_as_large_as_adamws():
    parameter = nn.Parameter(torch.zeros(48, 96))
    parameter.grad = random(48, 96)
    Muon({"w": parameter}, learning_rate=1.0).step(1.0)
    assert float(parameter.detach().square().mean().sqrt()) == pytest.approx(0.2, abs=0.04)


def test_roles_tell_block_matrices_from_tables_and_vectors():
    roles = parameter_roles(decoder(tied=False))
    assert roles["embedding.weight"] == roles["unembedding.weight"] == "table"
    assert roles["norm.weight"] == "vector"
    in_blocks = {name: role for name, role in roles.items() if name.startswith("blocks.")}
    assert {role for name, role in in_blocks.items() if "norm" in name} == {"vector"}
    assert {role for name, role in in_blocks.items() if "norm" not in name} == {"matrix"}


def test_an_embedding_inside_a_block_is_a_table():
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Embedding(5, 3), nn.Linear(3, 3)])})
    roles = parameter_roles(model)
    assert roles["blocks.0.weight"] == "table"
    assert roles["blocks.1.weight"] == "matrix"


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_that_is_saved_and_loaded_goes_on_bit_for_bit(kind):
    config = OptimizerConfig(kind=kind)
    straight, broken = decoder(), decoder()
    optimizer = build_optimizer(straight, config)
    other = build_optimizer(broken, config)
    for step in range(6):
        if step == 3:
            state = {name: tensor.clone() for name, tensor in other.state_tensors().items()}
            other = build_optimizer(broken, config)
            other.load_state_tensors(state)
        for model, one in ((straight, optimizer), (broken, other)):
            give_gradients(model, step)
            one.step(1.0 - 0.1 * step)
    for ours, theirs in zip(straight.parameters(), broken.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_every_parameter_moves_under_both_kinds():
    for kind in ("adamw", "muon"):
        model = decoder(tied=False)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = build_optimizer(model, OptimizerConfig(kind=kind))
        give_gradients(model, 1)
        optimizer.step(1.0)
        assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_state_of_another_kind_is_refused():
    adamw = build_optimizer(decoder(), OptimizerConfig(kind="adamw"))
    muon = build_optimizer(decoder(), OptimizerConfig(kind="muon"))
    with pytest.raises(CheckpointError, match="does not fit the model at"):
        muon.load_state_tensors(adamw.state_tensors())


def test_beta2_halves_a_memory_of_so_many_tokens():
    beta2 = beta2_for(8_192, 1_000_000_000)
    assert beta2 ** (10e6 / 8_192) == pytest.approx(0.5)
    assert beta2_for(65_536, 100_000) == 0.9
    assert beta2_for(1, 10**9) == 0.9995
