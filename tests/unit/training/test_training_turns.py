"""Sources by turns: every batch of each, an epoch of one after an epoch of the other."""

from __future__ import annotations

import pytest
import torch

from homespun.training import PairBatches, TurnBatches


def source(number: int, pairs: int) -> PairBatches:
    """Of pairs that all begin with `number`."""
    some = [([number, at], [number, at, at]) for at in range(pairs)]
    return PairBatches(some, tokens=32, start_id=97, end_id=98, context=16, seed=number)


def test_each_epoch_is_of_the_next_source() -> None:
    sources = [source(1, 20), source(2, 7), source(3, 13)]
    sizes = [one.batches_per_epoch for one in sources]
    assert len(set(sizes)) == 3
    turns = TurnBatches(sources)
    index = 0
    for epoch in range(7):
        number = epoch % 3
        assert turns.epochs(index) == pytest.approx(epoch)
        read = []
        for place in range(sizes[number]):
            batch = turns.batch(index)
            wanted = sources[number].batch(epoch // 3 * sizes[number] + place)
            assert torch.equal(batch.source_BS, wanted.source_BS)
            assert set(batch.source_BS[:, 0].tolist()) == {number + 1}
            read += batch.source_BS[:, 1].tolist()
            index += 1
        assert sorted(read) == list(range(len(read)))  # each pair once
    assert turns.batches_per_epoch == -(-sum(sizes) // 3)
    assert turns.epochs(sizes[0] + 1) == pytest.approx(1 + 1 / sizes[1])
    assert turns.describe()["sources"]["1"]["pairs"] == 7
