"""What every objective of the other families must do; those of decoders are in
`test_objective_contract.py`. A new one joins by a line in `CASES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from homespun.core import Objective
from homespun.models import (
    EncoderConfig,
    EncoderDecoderConfig,
    RecurrentConfig,
)
from homespun.models.heads import Classifier, CrfLayer, JointHeads, TextEmbedder, WordTagger
from homespun.training import (
    IGNORED,
    ClassifyObjective,
    ContrastiveObjective,
    Example,
    JointObjective,
    MaskedBatches,
    MaskedObjective,
    PairBatches,
    Seq2SeqObjective,
    TagObjective,
    TaskBatch,
    TokenBatches,
    TruncatedObjective,
    Words,
    example_batch,
)
from homespun.training.data.twins import twin_batch

VOCABULARY, CLASSES = 23, 4
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, 400).astype(np.uint16)


class Case(NamedTuple):
    objective: Objective
    model: Callable[[], nn.Module]
    batch: Callable[[], Any]
    uniform_nats: float  # per target, of a model that knows nothing


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoder(**more: Any) -> Any:
    return EncoderConfig(
        vocab_size=VOCABULARY, num_layers=2, width=16, num_heads=2, mlp_width=24, context=24, **more
    ).build(draw())  # fmt: skip


def recurrent() -> nn.Module:
    return RecurrentConfig(
        vocab_size=VOCABULARY, num_layers=2, width=12, context=12, tied=False
    ).build(draw())


def translator() -> nn.Module:
    return EncoderDecoderConfig(
        vocab_size=VOCABULARY, num_layers=1, num_writer_layers=1, width=16, num_heads=2,
        head_width=8, mlp_width=24, context=24, tied=False,
    ).build(draw())  # fmt: skip


def classifier() -> nn.Module:
    model = Classifier(encoder(masked_head=False), CLASSES)
    model.begin(draw())
    return model


def tagger(crf: bool) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        layer = CrfLayer(CLASSES) if crf else None
        model = WordTagger(encoder(masked_head=False), CLASSES, crf=layer)
        model.begin()
        return model

    return build


def joint() -> nn.Module:
    head = classifier()
    assert isinstance(head, Classifier)
    return JointHeads([head])


def embedder() -> nn.Module:
    return TextEmbedder(encoder(masked_head=False))


def twins() -> Any:
    rng = np.random.default_rng(4)
    ids = [rng.integers(1, VOCABULARY, int(rng.integers(2, 9))).tolist() for _ in range(12)]
    return twin_batch(list(zip(ids[:6], ids[6:], strict=True)))


def text_batch() -> Any:
    batch = TokenBatches(TOKENS, context=12, rows=6, seed=0).batch(0)
    batch.targets_BT[2, 3:7] = IGNORED
    return batch


def masked_batch() -> Any:
    rows = TokenBatches(TOKENS, context=12, rows=6, seed=0)
    never_V = np.zeros(VOCABULARY, dtype=bool)
    never_V[0] = True
    return MaskedBatches(rows, Words(0, never_V), seed=0, share=0.4).batch(0)


def pair_batch() -> Any:
    rng = np.random.default_rng(1)
    pairs = [
        (rng.integers(2, 20, int(rng.integers(1, 7))), rng.integers(2, 20, int(rng.integers(1, 7))))
        for _ in range(6)
    ]
    source = PairBatches(pairs, tokens=64, start_id=0, end_id=1, context=24, seed=0)
    return source.batch(0)


def examples(per_token: bool) -> Any:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(6):
        length = int(rng.integers(2, 9))
        tags = rng.integers(0, CLASSES, length)
        tags[1::2] = IGNORED
        target = tags.tolist() if per_token else int(rng.integers(CLASSES))
        found.append(Example(rng.integers(1, VOCABULARY, length).tolist(), target))
    return example_batch(found, per_token=per_token)


V, C = float(np.log(VOCABULARY)), float(np.log(CLASSES))
CASES = {
    "truncated": Case(TruncatedObjective(5), recurrent, text_batch, V),
    "masked": Case(MaskedObjective(), encoder, masked_batch, V),
    "seq2seq": Case(Seq2SeqObjective(), translator, pair_batch, V),
    "classify": Case(ClassifyObjective(), classifier, lambda: examples(False), C),
    "joint": Case(
        JointObjective([ClassifyObjective()]), joint, lambda: TaskBatch(0, examples(False)), C
    ),
    "contrastive": Case(ContrastiveObjective(), embedder, twins, math.log(6)),
    "tag": Case(TagObjective(), tagger(crf=False), lambda: examples(True), C),
    "tag with crf": Case(TagObjective(), tagger(crf=True), lambda: examples(True), C),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def model(case: Case) -> nn.Module:
    """One whose every weight matters."""
    built = case.model().eval()
    noise = draw(2)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
    return built


def targets(batch: Any) -> torch.Tensor:
    if isinstance(batch, TaskBatch):
        batch = batch.inner
    if hasattr(batch, "second"):
        batch = batch.first
    found: torch.Tensor = batch.targets if hasattr(batch, "targets") else batch.targets_BT
    return found


def test_it_has_a_name(case: Case) -> None:
    assert case.objective.name.isidentifier()


def test_the_loss_is_a_scalar_with_gradients_for_every_parameter(
    case: Case, model: nn.Module
) -> None:
    output = case.objective.loss(model, case.batch())
    assert output.loss_sum.shape == ()
    assert output.loss_sum.dtype == torch.float32
    output.loss_sum.backward()
    silent = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not bool(p.grad.abs().sum() > 0)
    ]
    # Nothing hangs on what scores have in common: a key's bias adds the same to all.
    assert [name for name in silent if not name.endswith("key.bias")] == []


def test_targets_are_counted(case: Case, model: nn.Module) -> None:
    batch = case.batch()
    output = case.objective.loss(model, batch)
    assert output.num_targets == int((targets(batch) != IGNORED).sum()) > 0


def test_the_loss_is_nats_summed_over_targets(case: Case, model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    output = case.objective.loss(model, case.batch())
    assert output.loss_sum.item() == pytest.approx(output.num_targets * case.uniform_nats, rel=1e-5)


def test_a_batch_may_be_split(case: Case, model: nn.Module) -> None:
    batch = case.batch()
    if not hasattr(batch, "split"):
        pytest.skip("pairs are told from all others of their batch, so it cannot be cut")
    whole = case.objective.loss(model, batch)
    parts = [case.objective.loss(model, part) for part in batch.split(3)]
    assert len(parts) == 3
    assert sum(part.num_targets for part in parts) == whole.num_targets
    torch.testing.assert_close(
        sum(part.loss_sum for part in parts), whole.loss_sum, rtol=1e-4, atol=1e-4
    )


def test_it_keeps_no_state_and_leaves_the_batch_alone(case: Case, model: nn.Module) -> None:
    batch = case.batch()
    parts = (
        [*batch.first, *batch.second, batch.same_BB] if hasattr(batch, "second") else list(batch)
    )
    before = [part.clone() if isinstance(part, torch.Tensor) else part for part in parts]
    first = case.objective.loss(model, batch).loss_sum.item()
    assert case.objective.loss(model, batch).loss_sum.item() == first
    for part, kept in zip(parts, before, strict=True):
        assert torch.equal(part, kept) if isinstance(part, torch.Tensor) else part == kept
