import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import DataError, TextBlocks
from homespun.training import IGNORED, TokenBatches
from homespun.training.data import RowOrder


def stream(length: int) -> np.ndarray:
    """Distinct tokens, except that the last closes the ring."""
    tokens = np.arange(length, dtype=np.uint16)
    tokens[-1] = tokens[0]
    return tokens


def epoch_rows(source: TokenBatches, rows: int, epoch: int) -> list[list[int]]:
    """The inputs of every row of an epoch."""
    first = epoch * source.rows_per_epoch
    return [
        source.batch(number // rows).ids_BT[number % rows].tolist()
        for number in range(first, first + source.rows_per_epoch)
    ]


def test_targets_are_the_next_tokens_of_the_text():
    tokens = stream(101)
    source = TokenBatches(tokens, context=7, rows=3, seed=0)
    for index in range(40):
        batch = source.batch(index)
        assert batch.ids_BT.dtype == batch.targets_BT.dtype == torch.int64
        assert batch.ids_BT.shape == batch.targets_BT.shape == (3, 7)
        assert batch.num_tokens == 21
        # On the ring 0 1 … 99 the next of every token is one more.
        assert torch.equal(batch.targets_BT, (batch.ids_BT + 1) % 100)


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(20, 200),
    context=st.integers(1, 12),
    rows=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    closed=st.booleans(),
)
def test_an_epoch_shows_every_token_once_but_a_remainder_shorter_than_a_row(
    length, context, rows, seed, closed
):
    tokens = stream(length) if closed else np.arange(length, dtype=np.uint32)
    ring = length - 1 if closed else length
    source = TokenBatches(tokens, context=context, rows=rows, seed=seed)
    for epoch in (0, 1):
        seen = sorted(token for row in epoch_rows(source, rows, epoch) for token in row)
        assert len(seen) == len(set(seen)) == ring // context * context


def test_epochs_differ_in_order_and_in_cuts():
    source = TokenBatches(stream(1001), context=10, rows=4, seed=0)
    cuts = [sorted(row[0] for row in epoch_rows(source, 4, epoch)) for epoch in range(4)]
    assert len({tuple(starts) for starts in cuts}) == 4
    assert len({starts[0] % 10 for starts in cuts}) > 1
    first = [row[0] for row in epoch_rows(source, 4, 0)]
    assert first != sorted(first)


def test_a_batch_is_a_function_of_seed_and_index_alone():
    tokens = stream(501)
    straight = TokenBatches(tokens, context=8, rows=4, seed=3)
    wanted = [straight.batch(index).ids_BT for index in range(40)]
    jumping = TokenBatches(tokens, context=8, rows=4, seed=3)
    for index in (39, 0, 17, 18, 5):
        assert torch.equal(jumping.batch(index).ids_BT, wanted[index])
    other = TokenBatches(tokens, context=8, rows=4, seed=4)
    assert not torch.equal(other.batch(0).ids_BT, wanted[0])


def test_the_false_transition_of_an_open_stream_is_ignored_and_no_other():
    tokens = np.arange(100, 150, dtype=np.uint32)
    source = TokenBatches(tokens, context=7, rows=1, seed=1)
    ignored = 0
    for index in range(700):
        batch = source.batch(index)
        good = batch.targets_BT == batch.ids_BT + 1
        ignored += int((batch.targets_BT == IGNORED).sum())
        assert torch.equal(good, batch.targets_BT != IGNORED)
    assert ignored > 0


class Sliced:
    """Nothing but a length, single items and short slices."""

    def __init__(self, path):
        self.tokens = np.memmap(path, dtype=np.uint16, mode="r")

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, place):
        assert isinstance(place, int) or place.stop - (place.start or 0) <= 17
        return self.tokens[place]


def test_only_short_slices_of_the_tokens_are_read(tmp_path):
    stream(1001).tofile(tmp_path / "tokens.bin")
    mapped = TokenBatches(Sliced(tmp_path / "tokens.bin"), context=16, rows=2, seed=0)
    plain = TokenBatches(stream(1001), context=16, rows=2, seed=0)
    for index in range(40):
        assert torch.equal(mapped.batch(index).ids_BT, plain.batch(index).ids_BT)


def test_epochs_count_rows():
    source = TokenBatches(stream(101), context=10, rows=4, seed=0)
    assert source.rows_per_epoch == 10
    assert source.epochs(5) == 2.0


def test_too_little_text_is_refused():
    with pytest.raises(DataError, match="a row needs 33 tokens"):
        TokenBatches(stream(20), context=32, rows=1, seed=0)
    closed = np.array([0, *range(1, 32), 0])  # the mark at both ends is one on the ring
    with pytest.raises(DataError, match=r"33 tokens and the training text has fewer \(got 32\)"):
        TokenBatches(closed, context=32, rows=1, seed=0)


def test_order_is_dealt_without_loss_across_epochs():
    order = RowOrder(num_rows=5, rows_per_batch=3, seed=0)
    dealt = [pair for index in range(5) for pair in order.rows(index)]
    for epoch in range(3):
        assert sorted(row for e, row in dealt if e == epoch) == [0, 1, 2, 3, 4]


def test_batches_say_which_block_each_target_is_of():
    tokens = np.arange(1000) % 50
    blocks = TextBlocks(tokens, end_of_text_id=None, num_blocks=5)
    source = TokenBatches(tokens, context=10, rows=4, seed=3, blocks=blocks)
    plain = TokenBatches(tokens, context=10, rows=4, seed=3)
    seen = set()
    for index in range(25):
        batch = source.batch(index)
        assert batch.blocks_BT is not None
        assert torch.equal(batch.ids_BT, plain.batch(index).ids_BT)
        seen.update(batch.blocks_BT.flatten().tolist())
        assert torch.equal(batch.rows(1, 3).blocks_BT, batch.blocks_BT[1:3])
    assert seen == {0, 1, 2, 3, 4}
    assert plain.batch(0).blocks_BT is None
    assert source.describe() != plain.describe()
    numbers = np.arange(1000)
    blocks = TextBlocks(numbers, end_of_text_id=None, num_blocks=4)
    ramp = TokenBatches(numbers, context=10, rows=8, seed=1, blocks=blocks).batch(2)
    own = ramp.targets_BT != IGNORED
    assert torch.equal(ramp.blocks_BT[own], (ramp.targets_BT * 4 // 1000)[own])
