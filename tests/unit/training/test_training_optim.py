import pytest
import torch
from torch import nn

from homespun.core import CheckpointError, ConfigError, parse_config
from homespun.models import DecoderConfig
from homespun.training import (
    KindConfig,
    KindsConfig,
    OptimizerConfig,
    beta2_for,
    build_optimizer,
)
from homespun.training.optim import parameter_kinds
from homespun.training.optim.reference import adamw_one


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


def test_kinds_are_the_models_own_or_told_from_its_structure():
    class Silent(nn.Module):
        """The same parameters without a method that says what they are."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            for name, child in model.named_children():
                self.add_module(name, child)

    for tied in (True, False):
        model = decoder(tied=tied)
        kinds = parameter_kinds(model)
        assert kinds == parameter_kinds(Silent(model))
        assert kinds["embedding.weight"] == "embedding"
        assert kinds.get("unembedding.weight") == (None if tied else "head")
        assert kinds["norm.weight"] == "norm"
        in_blocks = {name: kind for name, kind in kinds.items() if name.startswith("blocks.")}
        assert {kind for name, kind in in_blocks.items() if "norm" in name} == {"norm"}
        assert {kind for name, kind in in_blocks.items() if "norm" not in name} == {"matrix"}


def test_an_embedding_inside_a_block_is_no_matrix_and_a_bias_no_norm():
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Embedding(5, 3), nn.Linear(3, 3)])})
    kinds = parameter_kinds(model)
    assert kinds["blocks.0.weight"] == "embedding"
    assert kinds["blocks.1.weight"] == "matrix"
    assert kinds["blocks.1.bias"] == "scalar"


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_state_that_is_saved_and_loaded_goes_on_bit_for_bit(kind):
    config = OptimizerConfig(kind=kind, variance="longer_side", cautious=True)
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
    for kind in ("adamw", "muon", "sgd"):
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


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_each_kind_of_parameter_has_its_own_rate(kind):
    def moved(kinds: dict[str, dict[str, float]]) -> dict[str, float]:
        config = parse_config(
            OptimizerConfig, {"kind": kind, "weight_decay": 0.0, "kinds": kinds}, where="a test"
        )
        model = decoder(tied=False)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = build_optimizer(model, config)
        give_gradients(model, 1)
        optimizer.step(1.0)
        return {
            name: float((p.detach() - before[name]).norm()) for name, p in model.named_parameters()
        }

    rates = {"embedding": 3.0, "head": 0.5, "norm": 0.0, "matrix": 2.0}
    usual = moved({})
    own = moved({name: {"rate": rate} for name, rate in rates.items()})
    kinds = parameter_kinds(decoder(tied=False))
    assert set(kinds.values()) == set(rates)
    for name, norm in usual.items():
        assert norm > 0
        assert own[name] == pytest.approx(norm * rates[kinds[name]], rel=1e-3), name


def test_each_kind_has_its_own_betas_and_decay():
    model = decoder(tied=False)
    start = model.get_parameter("embedding.weight").detach().clone()
    config = OptimizerConfig(
        learning_rate=0.1,
        kinds=KindsConfig(embedding=KindConfig(beta1=0.5, beta2=0.7, weight_decay=0.3)),
    )
    optimizer = build_optimizer(model, config)
    gradients = []
    for step in range(3):
        give_gradients(model, step)
        gradients.append(model.get_parameter("embedding.weight").grad.clone())
        optimizer.step(1.0)
    expected = adamw_one(
        start,
        gradients,
        learning_rates=[0.1] * 3,
        betas=(0.5, 0.7),
        eps=config.eps,
        weight_decays=[0.3] * 3,
    )
    torch.testing.assert_close(model.get_parameter("embedding.weight").detach(), expected)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"unknown key 'kinds\.embeding'"):
        parse_config(OptimizerConfig, {"kinds": {"embeding": {"rate": 2.0}}}, where="a test")


def test_the_decay_follows_the_schedule_with_the_given_power():
    for power, expected in ((0.0, 0.5 * 0.1), (1.0, 0.5 * 0.1 * 0.2), (2.0, 0.5 * 0.1 * 0.04)):
        for kind in ("adamw", "muon", "sgd"):
            model = nn.ModuleList([nn.Linear(4, 4, bias=False)])
            before = model[0].weight.detach().clone()
            config = OptimizerConfig(
                kind=kind, learning_rate=0.5, weight_decay=0.1, weight_decay_power=power
            )
            model[0].weight.grad = torch.zeros(4, 4)
            build_optimizer(model, config).step(0.2)
            torch.testing.assert_close(model[0].weight.detach(), before * (1 - expected))


def test_momentum_rises_with_progress_to_its_usual_value():
    config = OptimizerConfig(momentum=0.95, momentum_start=0.85, momentum_warmup=0.2)
    assert config.momentum_at(0.0) == 0.85
    assert config.momentum_at(0.1) == pytest.approx(0.9)
    assert config.momentum_at(0.2) == config.momentum_at(1.0) == 0.95
    assert OptimizerConfig(momentum_warmup=0.2).momentum_at(0.0) == 0.95


def test_the_optimiser_uses_the_momentum_of_the_progress_it_was_told():
    def after(progress: float, config: OptimizerConfig) -> torch.Tensor:
        model = nn.ModuleList([nn.Linear(4, 4, bias=False)])
        nn.init.zeros_(model[0].weight)
        optimizer = build_optimizer(model, config)
        for step in range(3):
            model[0].weight.grad = random(4, 4, seed=step)
            optimizer.set_progress(progress)
            optimizer.step(1.0)
        return model[0].weight.detach()

    rising = OptimizerConfig(kind="muon", momentum=0.9, momentum_start=0.5, momentum_warmup=0.5)
    assert torch.equal(after(0.0, rising), after(0.0, OptimizerConfig(kind="muon", momentum=0.5)))
    assert torch.equal(after(0.25, rising), after(0.0, OptimizerConfig(kind="muon", momentum=0.7)))
    assert not torch.equal(after(0.0, rising), after(0.25, rising))
