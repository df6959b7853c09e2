"""Recurrent language models against their cells step by step, and what they remember."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from homespun.core import ConfigError, parse_config
from homespun.models import RecurrentConfig, RecurrentLM
from homespun.models.recurrent import ReaderConfig
from homespun.models.recurrent.cells import layer_obvious
from homespun.training import (
    IGNORED,
    Batch,
    CausalObjective,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    TruncatedObjective,
)
from homespun.training.stage.trainee import Trainee
from homespun.training.step import take_step

KINDS = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
VOCABULARY = 19


def model_of(**changes: Any) -> RecurrentLM:
    shape = {"cell": "lstm", "vocab_size": VOCABULARY, "num_layers": 2, "width": 12, "context": 10}
    config = parse_config(RecurrentConfig, {**shape, **changes}, where="model.json")
    return config.build(torch.Generator().manual_seed(1))


def some_ids(rows: int = 3, tokens: int = 10, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@KINDS
def test_layers_are_those_of_their_papers(cell: str) -> None:
    model = model_of(cell=cell).double()
    with torch.no_grad():
        for parameter in model.parameters():  # biases begin with zeros
            parameter += 0.2 * torch.randn(
                parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
            )
    ids_BT = some_ids()
    x_BTD = model.embedding(ids_BT).double()
    for layer in model.layers:
        assert isinstance(layer, nn.RNNBase)
        zeros = x_BTD.new_zeros(3, 12)
        want, state, cell_state = layer_obvious(cell, layer, x_BTD, zeros, zeros)
        got, after = layer(x_BTD)
        torch.testing.assert_close(got, want)
        last = after[0] if isinstance(after, tuple) else after
        torch.testing.assert_close(last[0], state)
        if isinstance(after, tuple):
            torch.testing.assert_close(after[1][0], cell_state)
        x_BTD = want


@KINDS
def test_reading_in_pieces_is_reading_at_once(cell: str) -> None:
    model, ids_BT = model_of(cell=cell).eval(), some_ids()
    whole_BTD = model(ids_BT)
    first_BTD, state = model.read(ids_BT[:, :4], None)
    rest_BTD, after = model.read(ids_BT[:, 4:], state)
    torch.testing.assert_close(torch.cat([first_BTD, rest_BTD], 1), whole_BTD)
    assert len(after.hidden) == 2
    assert len(after.cells) == (2 if cell == "lstm" else 0)
    assert not torch.equal(model(ids_BT[:, 4:]), rest_BTD)


def test_no_token_is_told_of_what_follows() -> None:
    model, ids_BT = model_of().eval(), some_ids()
    other_BT = ids_BT.clone()
    other_BT[:, 6] = (other_BT[:, 6] + 1) % VOCABULARY
    assert torch.equal(model(ids_BT)[:, :6], model(other_BT)[:, :6])
    assert not torch.equal(model(ids_BT)[:, 6:], model(other_BT)[:, 6:])


def test_scores_and_loss_agree_and_the_head_may_be_its_own() -> None:
    for tied in (True, False):
        model, ids_BT = model_of(tied=tied), some_ids()
        hidden_BTD, targets_BT = model(ids_BT), some_ids(seed=5)
        targets_BT[0, 3] = IGNORED
        scores_NV = model.head(hidden_BTD).flatten(0, 1)
        want = nn.functional.cross_entropy(scores_NV, targets_BT.flatten(), reduction="sum")
        torch.testing.assert_close(model.next_token_loss(hidden_BTD, targets_BT), want)
        kinds = model.parameter_kinds()
        assert list(kinds) == [name for name, _ in model.named_parameters()]
        assert kinds["embedding.weight"] == "embedding"
        assert kinds["layers.0.weight_hh_l0"] == "matrix"
        assert kinds["layers.1.bias_ih_l0"] == "scalar"
        assert ("unembedding.weight" in kinds) is not tied


def test_dropout_leaves_out_the_same_numbers_in_all_steps_and_none_when_judged() -> None:
    model, ids_BT = model_of(num_layers=1, dropout=0.5), some_ids(tokens=8)
    torch.manual_seed(0)
    hidden_BTD = model(ids_BT)
    zeros_BTD = hidden_BTD == 0
    assert torch.equal(zeros_BTD, zeros_BTD[:, :1].expand_as(zeros_BTD))
    assert 0.2 < zeros_BTD.float().mean() < 0.8
    assert not (model.eval()(ids_BT) == 0).any()


@pytest.mark.parametrize("variational", [True, False])
def test_readers_leave_out_the_same_numbers_at_all_steps_where_asked(variational: bool) -> None:
    shape = {"vocab_size": 30, "num_layers": 1, "width": 16, "dropout": 0.5}
    config = ReaderConfig(**shape, variational=variational)
    reader = config.build(torch.Generator().manual_seed(0)).train()
    read: list[torch.Tensor] = []
    reader.layers[0].register_forward_pre_hook(lambda _, given: read.append(given[0].data))
    torch.manual_seed(0)
    reader(torch.ones(1, 6, dtype=torch.int64))
    zeros_TD = read[0] == 0
    assert torch.equal(zeros_TD, zeros_TD[:1].expand_as(zeros_TD)) is variational
    assert 0.2 < zeros_TD.float().mean() < 0.8
    reader.eval()(torch.ones(1, 6, dtype=torch.int64))
    assert not (read[1] == 0).any()


def test_weight_dropout_changes_what_is_remembered_and_learns() -> None:
    model, ids_BT = model_of(weight_dropout=0.5), some_ids()
    torch.manual_seed(0)
    one, two = model(ids_BT), model(ids_BT)
    assert torch.equal(one[:, 0], two[:, 0]) is False or not torch.equal(one[:, 1:], two[:, 1:])
    one.square().sum().backward()
    for layer in model.layers:
        assert layer.weight_hh_l0.grad is not None
        assert layer.weight_hh_l0.grad.abs().sum() > 0
    assert torch.equal(model.eval()(ids_BT), model(ids_BT))


def batch_of(ids_BT: Tensor) -> Batch:
    return Batch(ids_BT, (ids_BT + 1) % VOCABULARY, None, None, ids_BT.numel())


def test_gradients_stop_between_pieces_and_the_memory_does_not() -> None:
    batch = batch_of(some_ids())
    model = model_of()
    whole = CausalObjective().loss(model, batch)
    cut = TruncatedObjective(4).loss(model, batch)
    torch.testing.assert_close(cut.loss_sum, whole.loss_sum)
    assert cut.num_targets == whole.num_targets
    long = torch.autograd.grad(whole.loss_sum, list(model.parameters()))
    short = torch.autograd.grad(cut.loss_sum, list(model.parameters()))
    name = [name for name, _ in model.named_parameters()].index("layers.0.weight_hh_l0")
    assert not torch.allclose(long[name], short[name])
    never = TruncatedObjective(10).loss(model, batch).loss_sum
    for one, other in zip(torch.autograd.grad(never, list(model.parameters())), long, strict=True):
        torch.testing.assert_close(one, other)


@KINDS
def test_it_learns_a_text_that_needs_memory(cell: str) -> None:
    """The token that ends a group is the one that began it, two tokens before."""
    draw = np.random.default_rng(0)
    groups = []
    for _ in range(600):
        key = int(draw.integers(1, 6))
        groups += [key, 7, key, 0]
    text = np.array(groups, dtype=np.uint16)
    batches = TokenBatches(text, context=25, rows=16, seed=0)
    config = TrainConfig(
        num_steps=1, optimizer=OptimizerConfig(kind="adamw", learning_rate=2e-2), clip_norm=1.0
    )
    trainee = Trainee(model_of(cell=cell, width=24, num_layers=1), config)
    losses = [
        take_step(
            trainee.model,
            TruncatedObjective(10),
            [batches.batch(number)],
            trainee.optimizer,
            lr_scale=1.0,
            clip_norm=1.0,
        ).loss
        for number in range(400)
    ]
    # One token of four cannot be known, one of five kinds: ln 5 / 4 = 0.40 nats a token. Without a
    # memory it is two of four, 0.80.
    assert losses[-1] < 0.5
    assert losses[0] > 2.5


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"num_layers": 0}, {"dropout": 1.0}, {"weight_dropout": -0.1}]
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        model_of(**wrong)


@pytest.mark.parametrize("wrong", [{"width": 101}, {"width": 0}, {"dropout": 1.0}])
def test_readers_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        parse_config(ReaderConfig, {"vocab_size": 30, **wrong}, where="the reader")
