"""Batches of examples: each once an epoch, filled up, cut, and a function of their number."""

import numpy as np
import pytest
import torch

from homespun.core import DataError
from homespun.training import IGNORED, Example, ExampleBatches, TokenBatches, example_batch
from homespun.training.data.prefixes import PrefixBatches


def examples(num: int = 50) -> list[Example]:
    draw = np.random.default_rng(0)
    return [
        Example(draw.integers(1, 90, int(draw.integers(1, 40))).tolist(), n) for n in range(num)
    ]


def source(seed: int = 0) -> ExampleBatches:
    return ExampleBatches(examples(), tokens=128, seed=seed, context=64)


def test_every_example_comes_once_an_epoch() -> None:
    batches = source()
    for epoch in range(2):
        first = epoch * batches.batches_per_epoch
        seen = [
            int(target)
            for index in range(first, first + batches.batches_per_epoch)
            for target in batches.batch(index).targets
        ]
        assert sorted(seen) == list(range(50))
    assert batches.epochs(batches.batches_per_epoch) == 1.0


def test_batches_are_functions_of_seed_and_number() -> None:
    a, b = source(), source()
    b.batch(9)
    for one, two in zip(a.batch(3), b.batch(3), strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(two))
    assert not torch.equal(source(1).batch(0).targets, a.batch(0).targets)


def test_rows_are_filled_up_and_hold_their_ids() -> None:
    every = examples()
    batch = source().batch(0)
    for ids, is_token, target in zip(batch.ids_BT, batch.is_token_BT, batch.targets, strict=True):
        assert ids[is_token].tolist() == list(every[int(target)].ids)
        assert ids[~is_token].sum() == 0
    assert batch.num_tokens == int(batch.is_token_BT.sum())
    parts = batch.split(3)
    assert sum(part.num_tokens for part in parts) == batch.num_tokens
    assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)


def test_targets_of_each_kind() -> None:
    two = [Example([1, 2, 3], [4, 5, 6]), Example([7], [8])]
    assert example_batch(two, per_token=True).targets.tolist() == [
        [4, 5, 6], [8, IGNORED, IGNORED],
    ]  # fmt: skip
    rows = example_batch([Example([1], [0.0, 1.0]), Example([2], [1.0, 1.0], [1])])
    assert rows.targets.dtype == torch.float32
    assert rows.types_BT.tolist() == [[0], [1]]
    assert example_batch([Example([1], None)]).targets.tolist() == [0]


def test_wrong_examples_are_told() -> None:
    with pytest.raises(DataError, match="no examples"):
        ExampleBatches([], tokens=8, seed=0, context=8)
    with pytest.raises(DataError, match="example 1 does not fit"):
        ExampleBatches([Example([1], 0), Example([1] * 9, 0)], tokens=8, seed=0, context=8)
    with pytest.raises(DataError, match="one target a token"):
        ExampleBatches([Example([1, 2], [0])], tokens=8, seed=0, context=8, per_token=True)


def test_prefixes_are_the_halves_of_rows() -> None:
    rows = TokenBatches(np.arange(100, dtype=np.uint16), context=8, rows=3, seed=0)
    plain, cut = rows.batch(2), PrefixBatches(rows, context=8).batch(2)
    assert torch.equal(cut.source_BS, plain.ids_BT[:, :4])
    assert torch.equal(cut.ids_BT, plain.ids_BT[:, 4:])
    assert torch.equal(cut.targets_BT, plain.targets_BT[:, 4:])
    from homespun.core import ConfigError

    with pytest.raises(ConfigError, match="two halves"):
        PrefixBatches(rows, context=7)
