"""Shapes: what is refused, what the named sizes are, and what they cost."""

import pytest
import torch
from pydantic import ValidationError

from homespun.core import ConfigError, parse_config
from homespun.models import (
    DecoderConfig,
    cache_bytes_per_token,
    count_parameters,
    decoder_size,
    decoder_sizes,
    forward_flops_per_token,
    memory_by_kind,
    memory_bytes,
    parameters_by_kind,
    train_flops_per_token,
)

GOOD = {
    "vocab_size": 100,
    "num_layers": 2,
    "width": 24,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_width": 6,
    "mlp_width": 40,
    "context": 32,
}


def read(**changes: object) -> DecoderConfig:
    return parse_config(DecoderConfig, GOOD | changes, where="model.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "num_layers must be positive"),
        ({"norm_eps": -1e-6}, "norm_eps must be positive"),
        ({"num_kv_heads": 3}, "num_kv_heads must divide num_heads = 4"),
        ({"head_width": 7}, "head_width must be even"),
        ({"context": 1}, "context must be 2 to"),
        ({"context": 10**9}, "context must be 2 to"),
        ({"rope_base": 1.0}, "rope_base must be greater than 1"),
        ({"widht": 3}, "did you mean 'width'"),
        ({"width": "wide"}, "width in model.json is wrong"),
    ],
)
def test_a_wrong_shape_is_refused_in_clear_words(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(**changes)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        read().width = 3  # type: ignore[misc]


def test_sizes_run_from_small_to_large_and_are_what_their_names_say() -> None:
    counts = [count_parameters(decoder_size(name)) for name in decoder_sizes()]
    assert counts == sorted(counts)
    for name, count in zip(decoder_sizes(), counts, strict=True):
        named = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
        assert 0.75 * named < count < 1.25 * named, name


def test_a_size_takes_the_vocabulary_and_context_it_is_given() -> None:
    config = decoder_size("1M", vocab_size=4096, context=512)
    assert (config.vocab_size, config.context) == (4096, 512)
    with pytest.raises(ConfigError, match=r"no model size of that name \(got 3m\)"):
        decoder_size("3m")


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"qk_norm": False, "num_kv_heads": 4}])
def test_counts_are_those_of_the_model(changes: dict[str, object]) -> None:
    config = read(**changes)
    model = config.build(torch.Generator().manual_seed(0))
    kinds = parameters_by_kind(config)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert count_parameters(config) == kinds.total == sum(sizes.values())
    assert kinds.embedding == sum(n for name, n in sizes.items() if "embedding" in name)
    assert kinds.vector == sum(n for name, n in sizes.items() if "norm" in name)
    assert kinds.non_embedding == kinds.total - kinds.embedding


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = read()
    model = config.build(torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.head(model(torch.zeros(1, 32, dtype=torch.int64)))
    products = 4 * config.num_layers * config.num_heads * config.head_width * 32
    # One block of queries touches all 32 keys; the formula counts the 33/2 that are seen.
    unseen = products - products * 33 / 2 / 32
    assert counter.get_total_flops() == (forward_flops_per_token(config) + unseen) * 32
    assert train_flops_per_token(config) == 3 * forward_flops_per_token(config)
    assert train_flops_per_token(config, 8) < train_flops_per_token(config, 16)


def test_memory_of_training_counts_four_bytes_a_number() -> None:
    config = read()
    kinds = memory_by_kind(config, batch=4)
    count = parameters_by_kind(config)
    assert kinds.weights == kinds.gradients == 4 * count.total
    assert kinds.optimizer == 8 * count.total
    muon = memory_by_kind(config, batch=4, optimizer="muon")
    assert kinds.optimizer - muon.optimizer == 4 * count.matrix
    assert memory_bytes(config, batch=4) == kinds.total
    assert memory_by_kind(config, batch=8).activations == 2 * kinds.activations


def test_activation_estimate_is_near_what_autograd_keeps() -> None:
    config = decoder_size("0.2m", context=128)
    model = config.build(torch.Generator().manual_seed(0))
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ids_BT = torch.zeros(8, 128, dtype=torch.int64)
        hidden_BTD = model(ids_BT)
    del hidden_BTD
    weights = 4 * count_parameters(config)
    estimate = memory_by_kind(config, batch=8, activation_bytes=4).activations
    assert 0.6 < (sum(kept.values()) - weights) / estimate < 1.5


def test_cache_bytes_count_keys_and_values_of_all_layers() -> None:
    assert cache_bytes_per_token(read(), element_bytes=4) == 2 * 2 * 2 * 6 * 4
