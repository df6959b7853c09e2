"""What every objective must do, whatever it learns. A new one joins by a line in `CASES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from homespun.classic import count_left_out
from homespun.core import ChatTokens, Objective, TextBlocks
from homespun.models import DecoderConfig, NgramPrior, OrderTable, preset_options
from homespun.training import (
    IGNORED,
    Batch,
    CausalObjective,
    ChatBatches,
    ChatObjective,
    PrefixObjective,
    TaughtObjective,
    TokenBatches,
)
from homespun.training.data.denoising import InfillingBatches
from homespun.training.data.prefixes import PrefixRows

VOCABULARY = 23


class Case(NamedTuple):
    objective: Objective
    batch: Callable[[], Batch]
    uniform_nats: float  # per target, of a model that knows nothing


TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, 400).astype(np.uint16)
BLOCKS = TextBlocks(TOKENS, end_of_text_id=0, num_blocks=3)


def table() -> NgramPrior:
    orders = count_left_out(TOKENS, order=2, vocab_size=VOCABULARY, end_of_text_id=0, blocks=BLOCKS)
    return NgramPrior(VOCABULARY, [OrderTable.of(*order) for order in orders])


def text_batch() -> Batch:
    batch = TokenBatches(TOKENS, context=12, rows=6, seed=0, blocks=BLOCKS).batch(0)
    batch.targets_BT[2, 3:7] = IGNORED
    return batch


def chat_batch() -> Batch:
    draw = np.random.default_rng(0)
    chats = []
    for _ in range(12):
        asked, said = int(draw.integers(1, 5)), int(draw.integers(1, 6))
        ids = draw.integers(0, VOCABULARY, asked + said).tolist()
        chats.append(ChatTokens(tuple(ids), (False,) * asked + (True,) * said))
    return ChatBatches(chats, context=12, rows=6, seed=0).batch(0)


def prefix_batch() -> Batch:
    return PrefixRows(TokenBatches(TOKENS, context=12, rows=6, seed=0), seed=1).batch(0)


def blank_batch() -> Batch:
    source = TokenBatches(TOKENS, context=8, rows=6, seed=0)
    return InfillingBatches(
        source, context=12, marks=[20, 21], end_id=22, seed=1, share=0.4, mean_length=2.0
    ).batch(0)


CASES = {
    "causal": Case(
        CausalObjective(), lambda: text_batch()._replace(blocks_BT=None), float(np.log(VOCABULARY))
    ),
    "taught": Case(TaughtObjective(table(), share=0.7), text_batch, float(np.log(VOCABULARY))),
    "prefix": Case(PrefixObjective(), prefix_batch, float(np.log(VOCABULARY))),
    "blank": Case(PrefixObjective(), blank_batch, float(np.log(VOCABULARY))),
    "chat": Case(ChatObjective(), chat_batch, float(np.log(VOCABULARY))),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(params=["portable", "fast"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    """A decoder whose every weight matters: fresh ones begin with output projections of zero."""
    model = DecoderConfig(
        vocab_size=VOCABULARY,
        num_layers=2,
        width=16,
        num_heads=2,
        num_kv_heads=1,
        head_width=8,
        mlp_width=24,
        context=12,
        **preset_options(request.param, VOCABULARY),
    ).build(torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
    return model


def rows(batch: Batch, chosen: slice) -> Batch:
    return batch.rows(*chosen.indices(batch.num_rows)[:2])


def gradient(model: nn.Module, objective: Objective, batches: list[Any]) -> list[torch.Tensor]:
    total = sum(objective.loss(model, batch).loss_sum for batch in batches)
    return list(torch.autograd.grad(total, list(model.parameters())))


def test_it_has_a_name(case):
    assert case.objective.name.isidentifier()


def test_the_loss_is_a_scalar_with_gradients_for_every_parameter(case, model):
    output = case.objective.loss(model, case.batch())
    assert output.loss_sum.shape == ()
    assert output.loss_sum.dtype == torch.float32
    output.loss_sum.backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_targets_are_counted(case, model):
    batch = case.batch()
    output = case.objective.loss(model, batch)
    assert output.num_targets == int((batch.targets_BT != IGNORED).sum())
    assert 0 < output.num_targets < batch.targets_BT.numel()


def test_the_loss_is_nats_summed_over_targets(case, model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    output = case.objective.loss(model, case.batch())
    assert output.loss_sum.item() == pytest.approx(output.num_targets * case.uniform_nats, rel=1e-5)


def test_a_batch_may_be_split(case, model):
    batch = case.batch()
    halves = [rows(batch, slice(0, 2)), rows(batch, slice(2, None))]
    whole = case.objective.loss(model, batch)
    parts = [case.objective.loss(model, half) for half in halves]
    assert sum(part.num_targets for part in parts) == whole.num_targets
    torch.testing.assert_close(sum(part.loss_sum for part in parts), whole.loss_sum)
    for one, other in zip(
        gradient(model, case.objective, [batch]),
        gradient(model, case.objective, halves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_masking_a_target_takes_away_exactly_its_nats(case, model):
    batch = case.batch()
    row, place = (batch.targets_BT != IGNORED).nonzero()[0].tolist()
    only = batch._replace(targets_BT=torch.full_like(batch.targets_BT, IGNORED))
    only.targets_BT[row, place] = batch.targets_BT[row, place]
    without = batch._replace(targets_BT=batch.targets_BT.clone())
    without.targets_BT[row, place] = IGNORED
    whole, one, rest = (case.objective.loss(model, b) for b in (batch, only, without))
    assert (one.num_targets, rest.num_targets) == (1, whole.num_targets - 1)
    torch.testing.assert_close(one.loss_sum + rest.loss_sum, whole.loss_sum)


def test_it_keeps_no_state_and_leaves_the_batch_alone(case, model):
    batch = case.batch()
    before = [None if part is None else part.clone() for part in batch[:4]]
    first = case.objective.loss(model, batch).loss_sum.item()
    assert case.objective.loss(model, batch).loss_sum.item() == first
    for part, kept in zip(batch[:4], before, strict=True):
        assert (part is None and kept is None) or torch.equal(part, kept)


def test_a_batch_without_targets_counts_none(case, model):
    batch = case.batch()
    empty = batch._replace(targets_BT=torch.full_like(batch.targets_BT, IGNORED))
    output = case.objective.loss(model, empty)
    assert output.num_targets == 0
    assert output.loss_sum.item() == 0.0


def test_conversations_that_share_a_row_do_not_see_each_other(model):
    batch = chat_batch()
    objective = ChatObjective()
    segments = batch.segments_BT
    assert segments is not None
    row = int((segments == 2).any(dim=1).nonzero()[0])
    other = batch._replace(ids_BT=batch.ids_BT.clone())
    other.ids_BT[segments == 1] = (other.ids_BT[segments == 1] + 1) % VOCABULARY
    only_second = torch.where(segments == 2, batch.targets_BT, IGNORED)
    losses = [
        objective.loss(model, b._replace(targets_BT=only_second)).loss_sum for b in (batch, other)
    ]
    assert bool((only_second[row] != IGNORED).any())
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)


def test_a_packed_conversation_costs_what_it_costs_alone(model):
    batch = chat_batch()
    packed = ChatObjective().loss(model, batch).loss_sum.item()
    alone = 0.0
    for row in range(len(batch.ids_BT)):
        for segment in range(1, int(batch.segments_BT[row].max()) + 1):
            mine = batch.segments_BT[row] == segment
            single = Batch(
                batch.ids_BT[row, mine][None], batch.targets_BT[row, mine][None], None, None, 0
            )
            alone += CausalObjective().loss(model, single).loss_sum.item()
    assert packed == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("make", [prefix_batch, blank_batch])
def test_a_prefix_sees_itself_both_ways_and_nothing_behind_it(make, model):
    batch = make()
    T = batch.ids_BT.shape[1]
    row = int((batch.prefix_B < T - 1).nonzero()[0])
    first = int(batch.prefix_B[row])
    assert 1 <= first < T - 1
    assert bool((batch.targets_BT[row, : first - 1] == IGNORED).all())
    assert bool((batch.targets_BT[row, first:] != IGNORED).any())
    with torch.no_grad():
        before = model(batch.ids_BT, prefix_B=batch.prefix_B)[row]
        for place in range(1, T):
            ids_BT = batch.ids_BT.clone()
            ids_BT[row, place] = (ids_BT[row, place] + 1) % VOCABULARY
            after = model(ids_BT, prefix_B=batch.prefix_B)[row]
            is_other = ((before - after).abs().amax(1) > 1e-6).tolist()
            if place < first:  # every token but those that see only what comes before the prefix
                assert all(is_other)
            else:
                assert is_other == [False] * place + [True] * (T - place)
