"""Parts beyond the plain decoder: each agrees with its slow version, and does nothing left out."""

import math
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models import Decoder, DecoderConfig, decoder_shape, preset_options
from homespun.models.extras import (
    BigramTable,
    Gate,
    ResidualMix,
    Smear,
    ValueEmbeddings,
    layers_with_values,
    previous_ids,
)
from homespun.models.extras.bigram import bigram_row_obvious, bigram_rows
from homespun.models.extras.mix import mix, mix_obvious
from homespun.models.extras.previous import NONE, previous_ids_obvious
from homespun.models.extras.smear import shifted
from homespun.models.mlp import SquaredReLU
from homespun.models.norm import RMSNorm, rms_norm, rms_norm_obvious

VOCABULARY = 23
OPTIONS: dict[str, dict[str, object]] = {
    "relu2": {"activation": "relu2"},
    "softcap": {"softcap": 2.0},
    "no norm weights": {"norm_weights": False},
    "embedding norm": {"embedding_norm": True},
    "qk scale": {"qk_scale": 2.0},
    "head gate": {"head_gate": True},
    "residual scalars": {"residual_scalars": True},
    "value embeddings": {"value_embeddings": True},
    "bigrams": {"bigram_rows": 40},
    "smear": {"smear": True},
    "fast": preset_options("fast", VOCABULARY),
}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return x.requires_grad_()


def random_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def config(**changes: object) -> DecoderConfig:
    return decoder_shape(width=32, num_layers=3, vocab_size=VOCABULARY, context=40, changes=changes)


def build(**changes: object) -> Decoder:
    """A decoder with no weight at its start, so that every part has its say."""
    model = config(**changes).build(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return model


def test_previous_ids_agree_with_a_loop_over_tokens() -> None:
    ids_BT = random_ids(3, 9)
    segments_BT = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 3, 3]] * 2 + [[0] * 9])
    positions_BT = torch.tensor([[0, 1, 0, 1, 2, 0, 1, 0, 1]] * 2 + [list(range(9))])
    for segments, positions in product((None, segments_BT), (None, positions_BT)):
        asked = {"segments_BT": segments, "positions_BT": positions}
        got = previous_ids(ids_BT, **asked)
        assert torch.equal(got, previous_ids_obvious(ids_BT, **asked))
        assert (got[:, 0] == NONE).all()
    assert torch.equal(previous_ids(ids_BT)[:, 1:], ids_BT[:, :-1])


@pytest.mark.parametrize("vocab_size", [VOCABULARY, 50_000, 131_072])
@pytest.mark.parametrize("num_rows", [7, 640, VOCABULARY**2])
def test_rows_of_pairs_agree_with_pythons_integers(vocab_size: int, num_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocab_size, (200,), generator=generator)
    previous = torch.randint(-1, vocab_size, (200,), generator=generator)
    previous[:3] = torch.tensor([NONE, 0, vocab_size - 1])
    ids[2] = vocab_size - 1
    got = bigram_rows(ids, previous, vocab_size, num_rows).tolist()
    pairs = zip(ids.tolist(), previous.tolist(), strict=True)
    assert got == [bigram_row_obvious(*pair, vocab_size, num_rows) for pair in pairs]
    assert all(0 <= row <= num_rows for row in got)


def test_pairs_have_rows_of_their_own_where_there_are_enough_and_spread_evenly_where_not() -> None:
    previous, ids = torch.cartesian_prod(torch.arange(60), torch.arange(60)).T
    exact = bigram_rows(ids, previous, 60, 3600)
    assert len(exact.unique()) == 3600
    hashed = bigram_rows(ids, previous, 60, 300)
    per_row = torch.bincount(hashed, minlength=300)
    # 12 pairs a row; drawn at random their variance would be 12 too.
    assert per_row.float().var() < 24
    assert per_row.min() > 0


def test_a_bigram_table_looks_up_the_row_of_the_pair() -> None:
    table = BigramTable(VOCABULARY, 10, 4)
    torch.nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(0))
    ids_BT, previous_BT = random_ids(2, 5), random_ids(2, 5, seed=1)
    previous_BT[0, 0] = NONE
    got_BTD = table(ids_BT, previous_BT, torch.bfloat16)
    assert got_BTD.dtype == torch.bfloat16
    for b, t in product(range(2), range(5)):
        row = bigram_row_obvious(int(ids_BT[b, t]), int(previous_BT[b, t]), VOCABULARY, 10)
        assert torch.equal(got_BTD[b, t], table.weight[row].bfloat16())


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mixing_agrees_with_the_obvious_sum(num: int, dtype: torch.dtype) -> None:
    streams = [normal(4, 6, 8, seed=i, dtype=dtype) for i in range(num)]
    factors = [torch.tensor(0.3 + i, requires_grad=True) for i in range(num)]
    upstream = normal(4, 6, 8, seed=9, dtype=dtype).detach()
    found = []
    for function in (mix, mix_obvious):
        y = function(streams, factors)
        assert y.dtype == dtype
        found.append((y.detach(), *torch.autograd.grad(y, (*streams, *factors), upstream)))
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for got, want in zip(*found, strict=True):
        assert (got - want).norm() <= tolerance * want.norm()


def test_a_layers_mix_is_the_stream_the_embedding_and_the_bigrams_times_their_factors() -> None:
    part = ResidualMix(2, first=True, bigrams=True)
    for factors_L, value in ((part.residual_L, 20.0), (part.first_L, 3.0), (part.bigram_L, 0.5)):
        assert factors_L is not None
        torch.nn.init.constant_(factors_L, value)
    x, first, bigram = (normal(2, 3, seed=i).detach() for i in range(3))
    want = 1.2 * x + 3 * first + 0.5 * bigram
    torch.testing.assert_close(part(1, x, first, bigram), want)
    only = ResidualMix(2, first=False, bigrams=True)
    assert only.bigram_L is not None
    torch.nn.init.constant_(only.bigram_L, 0.25)
    torch.testing.assert_close(only(0, x, first, bigram), x + 0.25 * bigram)


def test_a_gate_is_one_at_zero_weights_and_looks_at_a_few_channels() -> None:
    gate = Gate(20, 3)
    x_BTD = normal(2, 4, 20).detach()
    torch.nn.init.zeros_(gate.weight)
    assert torch.equal(gate(x_BTD), torch.ones(2, 4, 3))
    torch.nn.init.normal_(gate.weight, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gate(x_BTD), 2 / (1 + (-x_BTD[..., :12] @ gate.weight.T).exp()))
    assert Gate(5, 1).weight.shape == (1, 5)


def test_smear_adds_a_share_of_the_previous_vector_where_there_is_one() -> None:
    part = Smear(30)
    torch.nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(part.factor, 0.7)
    x_BTD = normal(2, 5, 30).detach()
    has_BT = torch.tensor([[False, True, True, False, True]] * 2)
    got = part(x_BTD, shifted(x_BTD), has_BT)
    for b, t in product(range(2), range(5)):
        share = 0.7 * torch.sigmoid(part.weight[0] @ x_BTD[b, t, :24])
        before = x_BTD[b, t - 1] if has_BT[b, t] else torch.zeros(30)
        torch.testing.assert_close(got[b, t], x_BTD[b, t] + share * before)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 6, 7])
def test_every_second_layer_has_a_table_of_values_and_the_last_one_always(num_layers: int) -> None:
    layers = layers_with_values(num_layers)
    assert layers[-1] == num_layers - 1
    assert [b - a for a, b in pairwise(layers)] == [2] * (len(layers) - 1)
    assert layers[0] < 2
    values = ValueEmbeddings(VOCABULARY, 6, num_layers)
    ids_BT = random_ids(1, 3)
    found = [values(layer, ids_BT) is not None for layer in range(num_layers)]
    assert found == [layer in layers for layer in range(num_layers)]


def test_an_attention_with_gates_agrees_with_the_formula() -> None:
    model = build(value_embeddings=True, head_gate=True)
    attention = model.blocks[2].attention
    x_BTD, ids_BT = normal(2, 7, 32).detach(), random_ids(2, 7)
    rotation = model.positions.rotation(0, 7, None, like=x_BTD)
    assert model.values is not None
    value_BTE = model.values(2, ids_BT)
    assert value_BTE is not None
    got = attention(x_BTD, rotation, value_BTE=value_BTE)
    # One head: its value is the projection and the gated row, its output gated before `out`.
    v_BTK = x_BTD @ attention.value.weight.T + attention.value_gate(x_BTD) * value_BTE
    from homespun.models.attention import attend_obvious
    from homespun.models.position import rotate

    q_BTHK = rotate(attention.query_norm(attention.query(x_BTD)[:, :, None]), rotation)
    k_BTHK = rotate(attention.key_norm(attention.key(x_BTD)[:, :, None]), rotation)
    out_BHTK = attend_obvious(q_BTHK.transpose(1, 2), k_BTHK.transpose(1, 2), v_BTK[:, None])
    out_BTK = out_BHTK[:, 0] * attention.head_gate(x_BTD)
    torch.testing.assert_close(got, attention.out(out_BTK), atol=1e-5, rtol=1e-5)


def test_squared_relu_layer_is_down_of_the_square() -> None:
    mlp = SquaredReLU(6, 10)
    for i, parameter in enumerate(mlp.parameters()):
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(i))
    x_ND = normal(3, 6).detach()
    want = (x_ND @ mlp.up.weight.T).clamp(min=0).square() @ mlp.down.weight.T
    torch.testing.assert_close(mlp(x_ND), want)


def test_a_norm_without_weights_is_one_whose_weights_are_one() -> None:
    x_ND = normal(5, 12)
    upstream = normal(5, 12, seed=1).detach()
    ones_D = torch.ones(12)
    functions: list[Callable[[Tensor], Tensor]] = [
        RMSNorm(12, weighted=False),
        lambda x: rms_norm_obvious(x, None, 1e-6),
        lambda x: rms_norm(x, ones_D, 1e-6),
    ]
    results = [(y := f(x_ND), *torch.autograd.grad(y, x_ND, upstream)) for f in functions]
    for result in results[1:]:
        for got, want in zip(results[0], result, strict=True):
            torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(rms_norm(x_ND, None, 1e-6), results[0][0])
    assert list(RMSNorm(12, weighted=False).parameters()) == []


@torch.no_grad()
def test_the_scale_of_scores_is_that_of_queries_times_that_of_keys() -> None:
    plain, sharp = build(), build(qk_scale=2.0)
    for block in plain.blocks:
        block.attention.query_norm.weight.mul_(2.0)
    ids_BT = random_ids(2, 12)
    torch.testing.assert_close(plain(ids_BT), sharp(ids_BT), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_plain_model_is_the_plain_sum_of_its_parts_to_the_last_bit() -> None:
    for changes in ({}, {"tied": False, "qk_norm": False}):
        model = build(**changes)
        ids_BT = random_ids(2, 12)
        rotation = model.positions.rotation(0, 12, None, like=torch.zeros(()))
        x_BTD = F.embedding(ids_BT, model.embedding.weight)
        for block in model.blocks:
            x_BTD = x_BTD + block.attention(block.attention_norm(x_BTD), rotation)
            x_BTD = x_BTD + block.mlp(block.mlp_norm(x_BTD))
        hidden_BTD = model.norm(x_BTD)
        assert torch.equal(model(ids_BT), hidden_BTD)
        assert torch.equal(model.head(hidden_BTD), hidden_BTD @ model.head_weight.T)


def test_options_only_add_parameters_and_leave_the_others_as_they_would_start() -> None:
    plain = dict(config(induction=False).build(torch.Generator().manual_seed(3)).named_parameters())
    names = ("head_gate", "residual_scalars", "value_embeddings", "smear")
    changes = dict.fromkeys(names, True) | {"bigram_rows": 40, "induction": False}
    rich = dict(config(**changes).build(torch.Generator().manual_seed(3)).named_parameters())
    assert len(rich) > len(plain)
    assert all(torch.equal(rich[name], parameter) for name, parameter in plain.items())


@torch.no_grad()
@pytest.mark.parametrize("name", ["head_gate", "value_embeddings", "smear"])
def test_gates_and_smear_begin_where_they_change_nothing(name: str) -> None:
    ids_BT = random_ids(2, 12)
    plain = config(induction=False).build(torch.Generator().manual_seed(3))
    gated = config(**{name: True, "induction": False}).build(torch.Generator().manual_seed(3))
    torch.testing.assert_close(plain(ids_BT), gated(ids_BT), atol=1e-6, rtol=1e-6)


def test_a_new_model_starts_as_its_config_says() -> None:
    wanted = {"head_std": 0.1, "mlp_init_scale": 0.5, "width": 96, "induction": False}
    shape = config(**preset_options("fast", VOCABULARY) | wanted)
    model = shape.build(torch.Generator().manual_seed(0))
    parameters = dict(model.named_parameters())

    def std(name: str) -> float:
        return float(parameters[name].detach().std())

    assert std("embedding.weight") == pytest.approx(1.0, rel=0.1)
    assert std("unembedding.weight") == pytest.approx(0.1, rel=0.1)
    assert std("blocks.1.attention.key.weight") == pytest.approx(96**-0.5, rel=0.1)
    assert std("blocks.1.mlp.up.weight") == pytest.approx(0.5 * 96**-0.5, rel=0.1)
    bound = math.sqrt(3 / 96)
    assert (
        float(parameters["blocks.0.attention.query.weight"].detach().abs().max()) <= 1.001 * bound
    )
    for name in ("blocks.0.mlp.down.weight", "blocks.0.attention.out.weight", "bigrams.weight"):
        assert not parameters[name].any()
    assert parameters["mix.residual_L"].tolist() == [15.0, 10.0, 5.0]
    torch.testing.assert_close(parameters["mix.first_L"], torch.tensor([0.2, 0.125, 0.05]))


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    changes: dict[str, object] = request.param
    return changes


@torch.no_grad()
def test_every_option_changes_the_outputs(options: dict[str, object]) -> None:
    ids_BT = random_ids(2, 12)
    plain, other = build(), build(**options)
    assert not torch.allclose(plain.head(plain(ids_BT)), other.head(other(ids_BT)), atol=1e-2)


def test_every_option_learns_one_batch_by_heart(options: dict[str, object]) -> None:
    if "softcap" in options:
        options = options | {"softcap": 15.0}
    model = config(**options).build(torch.Generator().manual_seed(0))
    ids_BT = random_ids(2, 17)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for _ in range(70):
        optimizer.zero_grad()
        loss = model.next_token_loss(model(ids_BT[:, :-1]), ids_BT[:, 1:]) / 32
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_dropout_is_drawn_from_the_global_generator_and_in_training_alone() -> None:
    model = build(dropout=0.3)
    plain = build()
    ids_BT = random_ids(2, 12)
    assert torch.equal(model.eval()(ids_BT), plain(ids_BT))
    model.train()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(model(ids_BT))
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2], atol=1e-2)


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    model = config(dropout=0.25, tied=False, embedding_std=1.0).build(
        torch.Generator().manual_seed(0)
    )
    ids_BT = random_ids(8, 40)
    torch.manual_seed(0)
    model.train()
    entering = model._embedded(ids_BT, None, 0, None)
    whole = model.eval()._embedded(ids_BT, None, 0, None)
    kept = entering != 0
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(entering[kept], whole[kept] / 0.75)
