"""Pieces taken out of rows: nothing is lost, shares are kept, targets are the pieces alone."""

import numpy as np
import pytest
import torch

from homespun.core import ConfigError
from homespun.training import IGNORED, TokenBatches
from homespun.training.data.denoising import (
    InfillingBatches,
    SpanBatches,
    corrupted,
    restored,
)

MARKS, END = list(range(900, 930)), 999
TOKENS = np.random.default_rng(0).integers(0, 500, 2000).astype(np.uint16)


def rows(context: int = 64) -> TokenBatches:
    return TokenBatches(TOKENS, context=context, rows=4, seed=0)


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 300])
@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_what_is_left_and_what_is_taken_make_the_row(length: int, share: float) -> None:
    draw = np.random.default_rng(length)
    for _ in range(20):
        row = draw.integers(0, 500, length)
        found = corrupted(row, MARKS, draw, share=share)
        assert restored(found, MARKS) == row.tolist()
        num_taken = sum(token < 900 for token in found.taken)
        assert num_taken == min(max(1, round(length * share)), max(1, length - 1))
        assert [t for t in found.kept if t >= 900] == [t for t in found.taken if t >= 900]


def test_places_are_drawn_evenly() -> None:
    draw = np.random.default_rng(0)
    counts = np.zeros(40)
    for _ in range(3000):
        found = corrupted(np.arange(40), MARKS, draw)
        counts[[token for token in found.taken if token < 900]] += 1
    # The first token is never taken: something is left before each piece.
    assert counts[0] == 0
    assert counts[5:35].min() > 0.6 * counts[5:35].mean()


def test_spans_are_pairs_of_what_is_left_and_what_was_taken() -> None:
    source = SpanBatches(rows(), marks=MARKS, end_id=END, seed=3)
    batch, plain = source.batch(1), rows().batch(1)
    for row in range(4):
        read = batch.source_BS[row][batch.is_source_BS[row]].tolist()
        targets = batch.targets_BT[row]
        written = targets[targets != IGNORED].tolist()
        assert read[-1] == written[-1] == END
        assert batch.ids_BT[row, 0] == END
        assert batch.ids_BT[row, 1 : len(written)].tolist() == written[:-1]
        from homespun.training.data.denoising import Corrupted

        assert restored(Corrupted(read[:-1], written[:-1]), MARKS) == plain.ids_BT[row].tolist()
    again = SpanBatches(rows(), marks=MARKS, end_id=END, seed=3).batch(1)
    assert torch.equal(again.source_BS, batch.source_BS)
    assert not torch.equal(source.batch(2).source_BS[:, :5], batch.source_BS[:, :5])


def test_infilling_asks_for_the_pieces_alone() -> None:
    source = InfillingBatches(rows(), context=96, marks=MARKS, end_id=END, seed=3)
    batch = source.batch(0)
    for ids, targets in zip(batch.ids_BT, batch.targets_BT, strict=True):
        asked = targets != IGNORED
        first = int(asked.nonzero()[0])
        left = ids[:first].tolist()
        written = targets[asked].tolist()
        # All but the first mark is asked for, and each target is the next input.
        assert int(ids[first]) in MARKS
        assert written[:-1] == ids[first + 1 : first + len(written)].tolist()
        assert written[-1] == END
        assert len([t for t in left if t in MARKS]) == 1 + len([t for t in written if t in MARKS])
    orders = {tuple(t for t in source.batch(n).ids_BT[0].tolist() if t in MARKS) for n in range(8)}
    assert len(orders) > 1


def test_blanks_are_one_or_several_and_text_stands_behind_the_last() -> None:
    marks = MARKS[:3]
    source = InfillingBatches(rows(), context=96, marks=marks, end_id=END, seed=3)
    numbers, behind = set(), set()
    for index in range(48):
        batch = source.batch(index)
        for ids, targets in zip(batch.ids_BT, batch.targets_BT, strict=True):
            left = ids[: int((targets != IGNORED).nonzero()[0])].tolist()
            places = [place for place, token in enumerate(left) if token in marks]
            numbers.add(len(places))
            behind.add(len(left) - 1 - places[-1] > 0)
    assert numbers == {1, 2, 3}
    assert behind == {True, False}


def test_rows_that_are_too_long_are_cut() -> None:
    source = InfillingBatches(rows(), context=40, marks=MARKS, end_id=END, seed=3)
    assert source.batch(0).ids_BT.shape[1] == 40


def test_wrong_settings_are_told() -> None:
    for wrong in ({"share": 1.0}, {"share": 0.0}, {"mean_length": 0.5}, {"marks": []}):
        with pytest.raises(ConfigError, match="pieces"):
            SpanBatches(rows(), **{"marks": MARKS, "end_id": END, "seed": 0, **wrong})
