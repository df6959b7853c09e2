"""Weights made into other weights: the function that must stay stays."""

from __future__ import annotations

import math

import pytest
import torch

from homespun.core import CheckpointError, ConfigError
from homespun.models import (
    Decoder,
    DecoderConfig,
    decoder_shape,
    load_weights,
    state_to_safetensors,
)
from homespun.models.position import RotaryTables, rotate
from homespun.models.reshape.average import average_weights
from homespun.models.reshape.grow import grow_config, grow_weights
from homespun.models.reshape.rope_scaling import RopeScaling, frequencies_obvious, larger_base
from homespun.models.reshape.vocabulary import extend_tables, extended_config

SHAPE = DecoderConfig(
    vocab_size=50,
    num_layers=3,
    width=24,
    num_heads=6,
    num_kv_heads=3,
    head_width=4,
    mlp_width=40,
    context=16,
)


def trained(config: DecoderConfig, seed: int = 0) -> Decoder:
    """A model none of whose weights is as it was at the start."""
    generator = torch.Generator().manual_seed(seed)
    model = config.build(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def scores(model: Decoder) -> torch.Tensor:
    ids_BT = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(1))
    return model.head(model(ids_BT))


def grown(model: Decoder, before: DecoderConfig, after: DecoderConfig) -> Decoder:
    tensors = grow_weights(
        state_to_safetensors(model), before, after, torch.Generator().manual_seed(2)
    )
    larger = after.empty()
    load_weights(larger, tensors, where="the test")
    return larger.eval()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize(("layers", "width"), [(3, 48), (3, 40), (7, 24), (5, 32), (4, 96)])
def test_a_grown_model_says_what_the_small_one_said(
    tied: bool, qk_norm: bool, layers: int, width: int
) -> None:
    before = SHAPE.model_copy(update={"tied": tied, "qk_norm": qk_norm})
    after = grow_config(before, num_layers=layers, width=width)
    assert (after.num_layers, after.width) == (layers, width)
    assert after.num_heads // after.num_kv_heads == 2
    model = trained(before)
    torch.testing.assert_close(
        scores(grown(model, before, after)), scores(model), atol=1e-5, rtol=0
    )


def hidden_and_strength(model: Decoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of the network, and how much the table would count beside them."""
    strength, model.prior_strength = model.prior_strength, None
    assert strength is not None
    try:
        with torch.no_grad():
            ids_BT = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(1))
            states_BTD = model(ids_BT)
            return model.head(states_BTD), strength(states_BTD)
    finally:
        model.prior_strength = strength


BESIDE = SHAPE.model_copy(
    update={
        "tied": False,
        "activation": "relu2",
        "softcap": 15.0,
        "qk_scale": 1.44,
        "embedding_norm": True,
        "residual_scalars": True,
        "smear": True,
        "ngram_prior": True,
    }
)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("layers", "width"), [(3, 48), (7, 24), (5, 32), (4, 96)])
def test_a_grown_model_beside_a_table_says_what_the_small_one_said(
    tied: bool, layers: int, width: int
) -> None:
    before = BESIDE.model_copy(update={"tied": tied})
    after = grow_config(before, num_layers=layers, width=width)
    model = trained(before)
    small, large = hidden_and_strength(model), hidden_and_strength(grown(model, before, after))
    for mine, others in zip(large, small, strict=True):
        torch.testing.assert_close(mine, others, atol=1e-5, rtol=0)


def test_every_part_of_a_grown_model_learns() -> None:
    after = grow_config(SHAPE, num_layers=5, width=48)
    model = grown(trained(SHAPE), SHAPE, after).train()
    ids_BT = torch.randint(0, 50, (4, 16), generator=torch.Generator().manual_seed(3))
    for _ in range(2):  # what meets zeros learns once these have moved
        model.zero_grad()
        model.next_token_loss(model(ids_BT), ids_BT).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(1e-3 * parameter.grad)
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    grad = model.blocks[0].get_parameter("mlp.down.weight").grad
    assert grad is not None
    assert grad[SHAPE.width :].any(), "the new components of the stream"
    assert grad[:, SHAPE.mlp_width :].any(), "the new units"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"num_layers": 2}, "only become larger"),
        ({"width": 16}, "only become larger"),
        ({"width": 24}, "already"),
        ({"width": 28}, "multiple of 8.*choose 32"),
        ({"width": 43}, "choose 40"),
    ],
)
def test_a_shape_that_cannot_be_grown_into_is_refused(asked: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        grow_config(SHAPE, **asked)


@pytest.mark.parametrize("done", ["grown", "given a larger vocabulary"])
def test_a_model_with_value_embeddings_is_refused_and_the_portable_kind_named(done: str) -> None:
    config = decoder_shape(width=32, num_layers=2, vocab_size=300, context=32, preset="fast")
    refused = {
        "grown": lambda: grow_config(config, width=64),
        "given a larger vocabulary": lambda: extended_config(config, 400),
    }
    with pytest.raises(ConfigError, match=f"cannot be {done}.*plan --portable"):
        refused[done]()


def test_an_average_is_the_mean_of_each_number() -> None:
    models = [state_to_safetensors(trained(SHAPE, seed)) for seed in range(3)]
    mean = average_weights(models)
    weighted = average_weights(models, [1, 0, 3])
    for name, tensor in mean.items():
        stacked = torch.stack([model[name] for model in models])
        torch.testing.assert_close(tensor, stacked.mean(0))
        torch.testing.assert_close(weighted[name], (stacked[0] + 3 * stacked[2]) / 4)
    same = average_weights([models[0]] * 3)
    assert all(torch.equal(same[name], models[0][name]) for name in same)


def test_what_has_no_average_is_refused() -> None:
    model = state_to_safetensors(trained(SHAPE))
    other = state_to_safetensors(trained(SHAPE.model_copy(update={"width": 32})))
    with pytest.raises(CheckpointError, match="different shapes"):
        average_weights([model, other])
    for weights in ([1.0], [0.0, 0.0], [2.0, -1.0]):
        with pytest.raises(ConfigError, match="as many weights"):
            average_weights([model, model], weights)


def test_new_tokens_begin_as_the_mean_of_their_pieces() -> None:
    model = trained(SHAPE)
    pieces = [[i] for i in range(42)] + [[3, 4], [5, 6, 7]] + [[i] for i in range(42, 50)]
    tensors = extend_tables(state_to_safetensors(model), pieces)
    larger = extended_config(SHAPE, len(pieces)).empty()
    load_weights(larger, tensors, where="the test")
    table = model.embedding.weight
    torch.testing.assert_close(larger.embedding.weight[42], (table[3] + table[4]) / 2)
    assert torch.equal(larger.embedding.weight[44:], table[42:])
    kept = [*range(42), *range(44, 52)]
    ids_BT = torch.randint(0, 42, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = model.head(model(ids_BT)), larger.head(larger(ids_BT))
    torch.testing.assert_close(got[..., kept], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
@pytest.mark.parametrize(
    ("factor", "original", "base"), [(4, 256, 1e4), (2, 2048, 5e5), (8, 64, 1e4)]
)
def test_scaled_frequencies_are_those_of_the_papers(
    kind: str, factor: float, original: int, base: float
) -> None:
    scaling = RopeScaling.model_validate(
        {"kind": kind, "factor": factor, "original_context": original}
    )
    plain = 1 / base ** (torch.arange(0, 32, 2, dtype=torch.float32) / 32)
    expected = torch.tensor(frequencies_obvious(scaling, base, 32))
    torch.testing.assert_close(scaling.frequencies(plain, base), expected)
    slowest = scaling.frequencies(plain, base)[-1]
    torch.testing.assert_close(slowest, plain[-1] / factor)
    if kind != "linear":
        assert scaling.frequencies(plain, base)[0] == plain[0]


def test_a_larger_base_slows_the_slowest_pair_by_the_factor() -> None:
    base = larger_base(1e4, 32, 4.0)
    assert base ** (-30 / 32) == pytest.approx(1e4 ** (-30 / 32) / 4)


def test_positions_between_two_old_ones_are_met_by_interpolation() -> None:
    """Linear: position 2p of the scaled tables is position p of the old ones."""
    scaling = RopeScaling(kind="linear", factor=2.0, original_context=8)
    old, new = RotaryTables(1, 8, 100.0, 8), RotaryTables(1, 8, 100.0, 16, scaling=scaling)
    x_BTHK = torch.randn(1, 8, 1, 8, generator=torch.Generator().manual_seed(0))
    expected = rotate(x_BTHK, old.rotation(0, 8, None, x_BTHK))
    got = rotate(x_BTHK, new.rotation(0, 8, 2 * torch.arange(8)[None], x_BTHK))
    torch.testing.assert_close(got, expected)


def test_yarn_makes_scores_larger_by_the_square_of_its_magnitude() -> None:
    scaling = RopeScaling(kind="yarn", factor=4.0, original_context=16)
    assert scaling.magnitude == pytest.approx(0.1 * math.log(4) + 1)
    tables = RotaryTables(1, 8, 1e4, 64, scaling=scaling)
    x_BTHK = torch.randn(1, 64, 1, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(x_BTHK, tables.rotation(0, 64, None, x_BTHK))
    torch.testing.assert_close(turned.norm(dim=-1), scaling.magnitude * x_BTHK.norm(dim=-1))
