"""Shapes: what is refused, what the named sizes are, and what they cost."""

import pytest
import torch
from pydantic import ValidationError

from homespun.core import ConfigError, parse_config
from homespun.models import (
    DecoderConfig,
    cache_bytes_per_token,
    count_parameters,
    decoder_shape,
    decoder_size,
    decoder_sizes,
    forward_flops_per_token,
    memory_by_kind,
    memory_bytes,
    parameters_by_kind,
    preset_of,
    preset_options,
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
        ({"softcap": 0.0}, "softcap must be positive"),
        ({"bigram_rows": -1}, "bigram_rows must not be negative"),
        ({"dropout": 1.0}, "dropout must be less than 1"),
        ({"activation": "elu"}, "activation in model.json is wrong"),
        ({"sliding_window": 0}, "sliding_window must be positive"),
        ({"positions": "learned", "qk_scale": 2.0}, "qk_scale and rope_scaling are for rotary"),
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
    once = {"tied": True}  # the table counts once, as in the names of others
    counts = [count_parameters(decoder_size(n, changes=once)) for n in decoder_sizes()]
    assert counts == sorted(counts)
    for name, count in zip(decoder_sizes(), counts, strict=True):
        named = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
        assert 0.75 * named < count < 1.25 * named, name


def test_a_size_takes_the_vocabulary_and_context_it_is_given() -> None:
    config = decoder_size("1M", vocab_size=4096, context=512)
    assert (config.vocab_size, config.context) == (4096, 512)
    with pytest.raises(ConfigError, match=r"no model size of that name \(got 3m\)"):
        decoder_size("3m")


OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "untied": {"tied": False},
    "no qk norm": {"qk_norm": False, "num_kv_heads": 4},
    "no norm weights": {"norm_weights": False, "embedding_norm": True},
    "embedding norm": {"embedding_norm": True},
    "relu2": {"activation": "relu2"},
    "softcap": {"softcap": 15.0},
    "residual scalars": {"residual_scalars": True},
    "value embeddings": {"value_embeddings": True},
    "bigrams": {"bigram_rows": 50},
    "smear": {"smear": True},
    "head gate": {"head_gate": True},
    "fast": preset_options("fast", 100),
    "everything": {**preset_options("fast", 100), "smear": True, "head_gate": True},
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    changes: dict[str, object] = request.param
    return changes


def test_counts_are_those_of_the_model(options: dict[str, object]) -> None:
    config = read(**options)
    model = config.build(torch.Generator().manual_seed(0))
    kinds = model.parameter_kinds()
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        sizes[kinds[name]] = sizes.get(kinds[name], 0) + parameter.numel()
    count = parameters_by_kind(config)
    assert count_parameters(config) == count.total == sum(sizes.values())
    found = {kind: number for kind, number in count._asdict().items() if number}
    assert found == sizes | {"total": count.total}
    tables = count.embedding + count.head + count.value_table + count.bigram_table
    assert count.total == tables + count.non_embedding
    assert count.non_embedding == count.matrix + count.vector
    assert count.multiplied == count.matrix + model.head_weight.numel()


def test_operations_are_those_that_torch_counts(options: dict[str, object]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = read(**options)
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


def test_activation_estimate_is_near_what_autograd_keeps(options: dict[str, object]) -> None:
    changes = {**options, "dropout": 0.1} if "smear" in options else options
    changes = {name: value for name, value in changes.items() if name != "num_kv_heads"}
    config = decoder_size("0.2m", context=128, changes=changes)
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
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    activations = sum(size for place, size in kept.items() if place not in weights)
    estimate = memory_by_kind(config, batch=8, activation_bytes=4).activations
    assert 0.85 < activations / estimate < 1.15


def test_a_portable_shape_is_as_large_as_its_name_says_whatever_the_width() -> None:
    for width, heads in ((16, 1), (64, 1), (96, 2), (160, 3), (256, 4), (384, 6), (2048, 16)):
        config = decoder_shape(width=width, num_layers=2, vocab_size=64)
        assert (config.width, config.num_heads) == (width, heads)
        assert width <= config.num_heads * config.head_width <= max(32, width / 0.75)
        fast = decoder_shape(width=width, num_layers=2, vocab_size=64, preset="fast")
        assert fast.mlp_width == 4 * width
        if width >= 96:
            ratio = parameters_by_kind(config).matrix / parameters_by_kind(fast).matrix
            assert ratio == pytest.approx(1.0, abs=0.05)


def test_presets_are_told_apart_and_take_changes() -> None:
    portable, fast = (decoder_size("0.2m", preset=preset) for preset in ("portable", "fast"))
    assert preset_of(portable) == "portable"
    assert preset_of(fast) == "fast"
    assert fast.bigram_rows == 5 * fast.vocab_size
    assert (fast.width, fast.num_layers) == (portable.width, portable.num_layers)
    changed = decoder_size("0.2m", preset="fast", changes={"softcap": None, "mlp_width": 48})
    assert (changed.softcap, changed.mlp_width, changed.activation) == (None, 48, "relu2")
    gated = decoder_size("0.2m", preset="fast", changes={"activation": "swiglu"})
    assert gated.mlp_width == portable.mlp_width
    few = decoder_shape(width=32, num_layers=1, vocab_size=3, preset="fast")
    assert few.bigram_rows == 9
    with pytest.raises(ConfigError, match=r"unknown key 'softcup'.*did you mean 'softcap'"):
        decoder_size("0.2m", changes={"softcup": 15})
    with pytest.raises(ConfigError, match="no preset of that name"):
        decoder_size("0.2m", preset="fats")  # type: ignore[arg-type]


def test_a_plan_of_an_older_version_is_read_as_a_plain_model() -> None:
    old = {**GOOD, "rope_base": 10000.0, "tied": True, "qk_norm": True, "norm_eps": 1e-6}
    assert parse_config(DecoderConfig, old, where="plan.json") == read()
    assert read(**read().model_dump()) == read()


def test_cache_bytes_count_keys_and_values_of_all_layers() -> None:
    assert cache_bytes_per_token(read(), element_bytes=4) == 2 * 2 * 2 * 6 * 4
