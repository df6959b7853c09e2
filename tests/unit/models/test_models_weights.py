"""Weights out and in again, and what does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.core import CheckpointError
from homespun.models import DecoderConfig, load_weights, state_to_safetensors

CONFIG = DecoderConfig(
    vocab_size=20,
    num_layers=1,
    width=8,
    num_heads=2,
    num_kv_heads=1,
    head_width=4,
    mlp_width=12,
    context=16,
)


def test_weights_survive_a_safetensors_file(tmp_path: Path) -> None:
    model = CONFIG.build(torch.Generator().manual_seed(1))
    save_file(state_to_safetensors(model), tmp_path / "w.safetensors")
    other = CONFIG.build(torch.Generator().manual_seed(2))
    load_weights(other, load_file(tmp_path / "w.safetensors"), where="w.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dict(other.named_parameters())[name])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop("norm.weight"), "w has no 'norm.weight'"),
        (lambda w: w.update(extra=torch.ones(1)), "w has a 'extra' that the model has not"),
        (
            lambda w: w.update({"norm.weight": torch.ones(9)}),
            r"'norm.weight' in w has another shape than the model's \(8,\) \(got \(9,\)\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_changes(spoil, message) -> None:  # type: ignore[no-untyped-def]
    weights = {
        name: torch.full_like(tensor, 7.0)
        for name, tensor in state_to_safetensors(CONFIG.build(torch.Generator())).items()
    }
    spoil(weights)
    model = CONFIG.build(torch.Generator().manual_seed(1))
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, weights, where="w")
    assert not any((parameter == 7.0).all() for parameter in model.parameters())


def test_a_shared_parameter_is_stored_once_and_a_buffer_too() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    model["b"].register_buffer("mean", torch.ones(2))
    tensors = {name: tensor.clone() for name, tensor in state_to_safetensors(model).items()}
    assert set(tensors) == {"a.weight", "a.bias", "b.bias", "b.mean"}
    with torch.no_grad():
        model["a"].weight.zero_()
        model["b"].mean.zero_()
    load_weights(model, tensors, where="w")
    assert bool((model["b"].weight != 0).all())
    assert model["b"].mean.tolist() == [1.0, 1.0]
