"""A mixture deals rows in exact shares, by their number alone, and loses none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homespun.core import ConfigError, TextBlocks
from homespun.training import MixedBatches, TokenBatches


def rows_of(low: int, *, context: int = 8, num_tokens: int = 200) -> TokenBatches:
    """A source whose ids tell it from others: low … low + num_tokens - 1."""
    ids = np.arange(low, low + num_tokens)
    return TokenBatches(ids, context=context, rows=1, seed=low)


def mixture(*shares: float, rows: int = 4) -> MixedBatches:
    sources = [rows_of(1000 * place) for place in range(len(shares))]
    return MixedBatches(sources, shares=shares, rows=rows)


@pytest.mark.parametrize("shares", [(3, 1), (1, 1), (0.9, 0.1), (2, 1, 1), (5, 3, 1, 1)])
def test_every_source_has_its_share_after_any_number_of_rows(shares: tuple[float, ...]) -> None:
    mixed = mixture(*shares, rows=1)
    counts = [0] * len(shares)
    for number in range(500):
        which, row = mixed.deal(number)
        assert row == counts[which], "each source deals its rows in order, none twice"
        counts[which] += 1
        for place, share in enumerate(shares):
            assert abs(counts[place] - (number + 1) * share / sum(shares)) <= len(shares) - 1
            assert counts[place] == mixed.rows_of(place, number + 1)


def test_a_batch_holds_the_rows_of_its_sources() -> None:
    batch = mixture(3, 1).batch(5)
    assert batch.ids_BT.shape == batch.targets_BT.shape == (4, 8)
    assert batch.num_tokens == 32
    assert (batch.ids_BT[:, 0] // 1000).tolist() == [0, 0, 0, 1]
    assert torch.equal(batch.ids_BT[3], rows_of(1000).batch(5).ids_BT[0])
    assert torch.equal(batch.targets_BT[0], rows_of(0).batch(15).targets_BT[0])


def test_a_batch_depends_on_its_number_alone() -> None:
    first, second = mixture(3, 1), mixture(3, 1)
    wanted = [first.batch(index) for index in range(9)]
    for index in reversed(range(9)):
        assert torch.equal(second.batch(index).ids_BT, wanted[index].ids_BT)


def test_epochs_are_those_of_the_first_source() -> None:
    mixed = mixture(3, 1)
    assert mixed.epochs(8) == pytest.approx(24 / rows_of(0).rows_per_epoch)
    assert mixture(1).epochs(8) == pytest.approx(32 / rows_of(0).rows_per_epoch)


def test_rows_keep_their_blocks() -> None:
    blocks = TextBlocks(np.arange(200), end_of_text_id=None, num_blocks=4)
    parts = [
        TokenBatches(np.arange(100), context=8, rows=1, seed=0, blocks=blocks.part(start))
        for start in (0, 100)
    ]
    mixed = MixedBatches(parts, shares=(1, 1), rows=4)
    found = torch.cat([mixed.batch(index).blocks_BT for index in range(9)])
    assert found.unique().tolist() == [0, 1, 2, 3]
    assert (found[::2] < 2).all()
    assert (found[1::2] >= 2).all()
    assert mixture(1, 1).batch(0).blocks_BT is None


def test_shares_must_be_meant() -> None:
    with pytest.raises(ConfigError, match="share above 0"):
        mixture(1, 0)
    with pytest.raises(ConfigError, match="share above 0"):
        MixedBatches([rows_of(0)], shares=[1, 1], rows=2)


def test_two_mixtures_can_be_told_apart() -> None:
    assert mixture(3, 1).describe() != mixture(1, 1).describe()
    assert mixture(3, 1).describe() == mixture(6, 2).describe()
