"""Pairs of texts: marks, filling up, each once an epoch; and that a model learns to turn them."""

from collections import Counter

import numpy as np
import pytest
import torch

from homespun.core import DataError
from homespun.models import EncoderDecoder, EncoderDecoderConfig
from homespun.training import (
    IGNORED,
    OptimizerConfig,
    PairBatch,
    PairBatches,
    Seq2SeqObjective,
    TrainConfig,
)
from homespun.training.stage.trainee import Trainee
from homespun.training.step import take_step

START, END = 1, 2
Pairs = list[tuple[list[int], list[int]]]


def some_pairs(num: int = 300, longest: int = 40, seed: int = 0) -> Pairs:
    draw = np.random.default_rng(seed)
    return [
        (
            draw.integers(3, 30, draw.integers(1, longest)).tolist(),
            draw.integers(3, 30, draw.integers(1, longest)).tolist(),
        )
        for _ in range(num)
    ]


def batches(pairs: Pairs, seed: int = 0, tokens: int = 200) -> PairBatches:
    return PairBatches(pairs, tokens=tokens, start_id=START, end_id=END, context=64, seed=seed)


def pairs_of(batch: PairBatch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    found = []
    for row in range(batch.num_rows):
        read = batch.source_BS[row][batch.is_source_BS[row]].tolist()
        is_target = batch.targets_BT[row] != IGNORED
        written = batch.targets_BT[row][is_target].tolist()
        assert read[-1] == written[-1] == END
        assert batch.ids_BT[row][is_target].tolist() == [START, *written[:-1]]
        found.append((tuple(read[:-1]), tuple(written[:-1])))
    return found


def test_every_pair_comes_once_an_epoch_between_its_marks() -> None:
    pairs = some_pairs()
    source = batches(pairs)
    num = source.batches_per_epoch
    for epoch in (0, 1):
        read = [source.batch(epoch * num + place) for place in range(num)]
        found = Counter(pair for batch in read for pair in pairs_of(batch))
        assert found == Counter((tuple(a), tuple(b)) for a, b in pairs)
        for batch in read:
            places = max(batch.source_BS.numel(), batch.ids_BT.numel())
            assert places <= 200 or batch.num_rows == 1
            real = int(batch.is_source_BS.sum()) + int((batch.targets_BT != IGNORED).sum())
            assert batch.num_tokens == real
    assert source.epochs(num) == 1.0


def test_a_batch_is_a_function_of_seed_and_number() -> None:
    pairs = some_pairs()
    one, two = batches(pairs), batches(pairs)
    later = one.batches_per_epoch + 3
    one.batch(0)
    assert torch.equal(one.batch(later).source_BS, two.batch(later).source_BS)
    first, again = one.batch(0), one.batch(one.batches_per_epoch)
    assert pairs_of(first) != pairs_of(again)
    assert pairs_of(batches(pairs, seed=1).batch(0)) != pairs_of(first)
    assert one.describe() == two.describe()
    assert batches(pairs[1:]).describe() != one.describe()


def test_a_batch_may_be_split_and_keeps_its_rows() -> None:
    batch = batches(some_pairs()).batch(0)
    parts = batch.split(3)
    assert [pair for part in parts for pair in pairs_of(part)] == pairs_of(batch)
    assert sum(part.num_tokens for part in parts) == batch.num_tokens
    assert len(batch.split(10**6)) == batch.num_rows
    assert batch.to(torch.device("cpu")).num_tokens == batch.num_tokens


def test_nothing_to_learn_from_and_pairs_too_long_are_refused() -> None:
    with pytest.raises(DataError, match="no pairs"):
        batches([])
    with pytest.raises(DataError, match="pair 1 is longer"):
        batches([([3], [3]), ([3] * 64, [3])])
    assert batches([([3] * 63, [3])]).batch(0).source_BS.shape == (1, 64)


def test_a_model_learns_to_write_a_text_backwards() -> None:
    draw = np.random.default_rng(0)
    texts = [draw.integers(3, 15, draw.integers(2, 7)).tolist() for _ in range(2000)]
    source = PairBatches(
        [(text, text[::-1]) for text in texts],
        tokens=512,
        start_id=START,
        end_id=END,
        context=16,
        seed=0,
    )
    model = EncoderDecoderConfig(
        vocab_size=16,
        num_layers=1,
        num_writer_layers=1,
        width=48,
        num_heads=4,
        head_width=12,
        mlp_width=96,
        context=16,
        norm_first=True,
    ).build(torch.Generator().manual_seed(0))
    config = TrainConfig(
        num_steps=1, optimizer=OptimizerConfig(kind="adamw", learning_rate=5e-3), clip_norm=1.0
    )
    trainee = Trainee(model, config)
    objective = Seq2SeqObjective(smoothing=0.05)
    losses = [
        take_step(
            trainee.model,
            objective,
            [source.batch(number)],
            trainee.optimizer,
            lr_scale=1.0,
            clip_norm=1.0,
        ).loss
        for number in range(250)
    ]
    assert losses[0] > 2.5
    assert np.mean(losses[-20:]) < 0.35


def small_model(dropout: float = 0.0) -> EncoderDecoder:
    shape = EncoderDecoderConfig(
        vocab_size=30,
        num_layers=1,
        num_writer_layers=1,
        width=16,
        num_heads=2,
        head_width=8,
        mlp_width=24,
        context=64,
        dropout=dropout,
    )
    return shape.build(torch.Generator().manual_seed(0))


def test_the_objective_counts_what_is_written_and_may_be_split() -> None:
    batch = batches(some_pairs()).batch(0)
    model = small_model()
    objective = Seq2SeqObjective()
    whole = objective.loss(model, batch)
    assert whole.num_targets == int((batch.targets_BT != IGNORED).sum())
    parts = [objective.loss(model, part) for part in batch.split(3)]
    assert sum(part.num_targets for part in parts) == whole.num_targets
    total = torch.stack([part.loss_sum for part in parts]).sum()
    torch.testing.assert_close(total, whole.loss_sum, rtol=1e-5, atol=1e-3)


def test_with_agreement_each_pair_is_read_twice_under_other_dropout() -> None:
    batch = batches(some_pairs()).batch(0)
    model = small_model(dropout=0.3)
    plain, agreed = Seq2SeqObjective(), Seq2SeqObjective(agreement=0.5)
    model.eval()  # without dropout both halves say the same, and the value is that of the text
    told = agreed.loss(model, batch)
    assert told.num_targets == plain.loss(model, batch).num_targets
    torch.testing.assert_close(told.loss_sum, plain.loss(model, batch).loss_sum)
    model.train()
    torch.manual_seed(3)
    read, is_read, written, targets = (torch.cat([one, one]) for one in batch[:4])
    twice = PairBatch(read, is_read, written, targets, batch.num_tokens)
    both = plain.loss(model, twice).loss_sum
    torch.manual_seed(3)
    torch.testing.assert_close(agreed.loss(model, batch).loss_sum, both / 2)
