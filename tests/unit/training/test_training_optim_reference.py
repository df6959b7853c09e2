"""Every optimiser beside its slow version, over several steps, and beside PyTorch's own."""

import itertools

import pytest
import torch
from torch import nn

from homespun.training.optim.adamw import AdamW, AdamWSettings
from homespun.training.optim.muon import Muon
from homespun.training.optim.orthogonal.methods import orthogonalise_one
from homespun.training.optim.reference import adamw_one, muon_one, sgd_one
from homespun.training.optim.sgd import SGD, SGDSettings

STEPS = 6
TWO_SWITCHES = list(itertools.product([False, True], repeat=2))
SCALES = [0.2, 0.6, 1.0, 0.8, 0.5, 0.1]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(*shape: int, seed: int) -> list[torch.Tensor]:
    return [random(*shape, seed=1000 * seed + step) for step in range(1, STEPS + 1)]


def run(optimizer, parameters, all_gradients, **options):
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = all_gradients[name][step].clone()
        optimizer.step(SCALES[step], **{option: values[step] for option, values in options.items()})


def doubles(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.double() for tensor in tensors]


@pytest.mark.parametrize(("cautious", "power"), list(itertools.product([False, True], [None, 2.0])))
def test_adamw_agrees_with_its_slow_version(cautious, power):
    start, grads = random(5, 7), gradients(5, 7, seed=1)
    parameter = nn.Parameter(start.clone())
    optimizer = AdamW(
        {"w": parameter},
        {"w": AdamWSettings(0.05, betas=(0.8, 0.9), weight_decay=0.4)},
        cautious=cautious,
    )
    scales = SCALES if power is None else [scale**power for scale in SCALES]
    options = {} if power is None else {"decay_scale": scales}
    run(optimizer, {"w": parameter}, {"w": grads}, **options)
    expected = adamw_one(
        start.double(),
        doubles(grads),
        learning_rates=[0.05 * scale for scale in SCALES],
        betas=(0.8, 0.9),
        eps=1e-8,
        weight_decays=[0.4 * d / scale for d, scale in zip(scales, SCALES, strict=True)],
        cautious=cautious,
    )
    torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_adamw_agrees_with_torch():
    start, grads = random(5, 7), gradients(5, 7, seed=2)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = AdamW({"w": ours}, {"w": AdamWSettings(0.01, (0.9, 0.95), 1e-8, 0.1)})
    reference = torch.optim.AdamW(
        [theirs], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, foreach=False
    )
    for gradient in grads:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step(1.0)
        reference.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, start, atol=0.03)


def test_adamw_decays_only_what_it_is_told_and_leaves_alone_what_has_no_gradient():
    parameters = {name: nn.Parameter(torch.ones(3)) for name in ("decayed", "spared", "idle")}
    settings = {name: AdamWSettings(0.5) for name in parameters}
    settings["decayed"] = AdamWSettings(0.5, weight_decay=0.1)
    optimizer = AdamW(parameters, settings)
    parameters["decayed"].grad = parameters["spared"].grad = torch.zeros(3)
    optimizer.step(1.0)
    assert parameters["decayed"].tolist() == pytest.approx([0.95] * 3)
    assert parameters["spared"].tolist() == parameters["idle"].tolist() == [1.0] * 3


@pytest.mark.parametrize(("nesterov", "cautious"), TWO_SWITCHES)
def test_sgd_agrees_with_its_slow_version(nesterov, cautious):
    start, grads = random(4, 3), gradients(4, 3, seed=3)
    parameter = nn.Parameter(start.clone())
    optimizer = SGD(
        {"w": parameter},
        {"w": SGDSettings(0.1, weight_decay=0.5)},
        momentum=0.8,
        nesterov=nesterov,
        cautious=cautious,
    )
    run(optimizer, {"w": parameter}, {"w": grads})
    expected = sgd_one(
        start.double(),
        doubles(grads),
        learning_rates=[0.1 * scale for scale in SCALES],
        momentum=0.8,
        nesterov=nesterov,
        weight_decays=[0.5] * STEPS,
        cautious=cautious,
    )
    torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_agrees_with_torch(momentum, nesterov):
    start, grads = random(4, 3), gradients(4, 3, seed=4)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    # Torch adds the decay to the gradient, which is the same thing without momentum only.
    decay = 0.0 if momentum else 0.3
    optimizer = SGD(
        {"w": ours}, {"w": SGDSettings(0.1, decay)}, momentum=momentum, nesterov=nesterov
    )
    reference = torch.optim.SGD(
        [theirs], lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay
    )
    for gradient in grads:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step(1.0)
        reference.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nesterov": False},
        {"cautious": True},
        {"scale": "sqrt_ratio"},
        {"variance": "rows", "variance_beta2": 0.8},
        {"variance": "longer_side", "variance_beta2": 0.8, "cautious": True},
    ],
    ids=str,
)
def test_muon_agrees_with_its_slow_version(options):
    shapes = {"a": (4, 6), "b": (4, 6), "c": (9, 4), "d": (5, 5)}
    start = {name: random(*shape, seed=place) for place, (name, shape) in enumerate(shapes.items())}
    grads = {
        name: gradients(*shape, seed=place + 5)
        for place, (name, shape) in enumerate(shapes.items())
    }
    parameters = {name: nn.Parameter(tensor.clone()) for name, tensor in start.items()}
    momenta = [0.7, 0.8, 0.9, 0.9, 0.9, 0.9]
    decay_scales = [scale**2 for scale in SCALES]
    muon = Muon(parameters, learning_rate=0.02, weight_decay=0.5, **options)
    run(muon, parameters, grads, momentum=momenta, decay_scale=decay_scales)
    for name in shapes:
        expected = muon_one(
            start[name].double(),
            doubles(grads[name]),
            orthogonalise=orthogonalise_one,
            learning_rates=[0.02 * scale for scale in SCALES],
            momenta=momenta,
            weight_decays=[0.5 * scale for scale in SCALES],
            **options,
        )
        torch.testing.assert_close(
            parameters[name].detach().double(), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("scale", "theirs"), [("sqrt_ratio", "original"), ("match_rms_adamw", "match_rms_adamw")]
)
def test_muon_agrees_with_torch_as_far_as_its_bfloat16_goes(scale, theirs):
    for shape in ((6, 4), (4, 6)):
        start, grads = random(*shape), gradients(*shape, seed=9)
        ours, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        optimizer = Muon({"w": ours}, learning_rate=0.1, weight_decay=0.2, scale=scale)
        reference = torch.optim.Muon([other], lr=0.1, weight_decay=0.2, adjust_lr_fn=theirs)
        for gradient in grads:
            ours.grad, other.grad = gradient.clone(), gradient.clone()
            optimizer.step(1.0)
            reference.step()
        moved = (ours - start).norm()
        assert (ours - other).norm() < 0.02 * moved


def test_muons_update_is_as_large_as_adamws_with_normalised_rows_too():
    for variance in ("none", "rows", "longer_side"):
        parameter = nn.Parameter(torch.zeros(48, 96))
        parameter.grad = random(48, 96)
        Muon({"w": parameter}, learning_rate=1.0, variance=variance).step(1.0)
        assert float(parameter.detach().square().mean().sqrt()) == pytest.approx(0.2, abs=0.04)


def test_normalised_rows_have_equal_size_on_the_first_step():
    parameter = nn.Parameter(torch.zeros(12, 8))
    parameter.grad = random(12, 8) * torch.linspace(0.01, 1.0, 12)[:, None]
    Muon({"w": parameter}, learning_rate=1.0, variance="rows").step(1.0)
    sizes = parameter.detach().norm(dim=1)
    torch.testing.assert_close(sizes, sizes[:1].expand(12))
