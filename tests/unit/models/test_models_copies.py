"""What a text says of itself: runs that come again, and how far they are believed."""

from __future__ import annotations

import random

import pytest
import torch

from homespun.models.prior.copies import (
    COLUMNS,
    LONGEST,
    add_copies,
    find_copies,
    find_copies_obvious,
    fit_odds,
)


@pytest.mark.parametrize("vocab_size", [2, 5, 40])
@pytest.mark.parametrize("has_texts", [False, True])
def test_runs_are_found_as_the_obvious_way_finds_them(vocab_size: int, has_texts: bool) -> None:
    draw = random.Random(vocab_size)
    generator = torch.Generator().manual_seed(vocab_size)
    for _ in range(12):
        length = draw.choice([1, 5, 40])
        ids = torch.randint(0, vocab_size, (3, length), generator=generator)
        ids[0, : length // 3] = -1  # before a row begins
        cut = draw.randrange(length) if has_texts else 0
        begins = [0] * cut + [cut] * (length - cut)
        positions = torch.arange(length) - torch.tensor(begins)
        last = draw.randint(1, length)
        found = find_copies(
            ids,
            last=last,
            positions_BT=positions.expand(3, -1) if has_texts else None,
        )
        wanted = [find_copies_obvious(row.tolist(), begins)[length - last :] for row in ids]
        assert torch.equal(found, torch.tensor(wanted))


def test_a_text_that_began_before_its_row_has_no_run_from_there() -> None:
    # Read round the end, "5" would come before the first "7 8" as it does before the second.
    ids = torch.tensor([[7, 8, 1, 5, 7, 8, 2, 5]])
    begins = torch.zeros(8, dtype=torch.int64).tolist()
    found = find_copies(ids, last=8, positions_BT=torch.arange(3, 11)[None])
    assert found[0].tolist() == find_copies_obvious(ids[0].tolist(), begins)
    assert found[0, 5].tolist() == [2, 1, *[-1] * (COLUMNS - 2)]


def test_a_run_says_what_followed_it_the_latest_first() -> None:
    ids = torch.tensor([[1, 2, 3, 9, 1, 2, 4, 9, 2, 3, 1, 2]])
    (row,) = find_copies(ids, last=1)[0].tolist()
    assert row == [2, 4, 3, *[-1] * (COLUMNS - 3)]  # "1 2" came twice: before 3 and before 4


def test_log_probabilities_stay_a_distribution_and_copies_gain() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn((5, 10), generator=generator).log_softmax(-1)
    copies = torch.full((5, COLUMNS), -1)
    copies[:, 0] = torch.tensor([0, 2, 3, 1, 2])
    copies[1, 1:4] = torch.tensor([7, 7, 2])
    copies[2, 1] = 99  # a mark that is no word
    copies[3, 1:3] = torch.tensor([4, 99])
    odds = torch.arange(LONGEST + 1).float() / 2
    before = rows.clone()
    mixed = add_copies(rows, copies, odds)
    assert mixed.exp().sum(-1) == pytest.approx(torch.ones(5), abs=1e-6)
    for same in (0, 2, 4):  # nothing is known of them
        assert torch.equal(mixed[same], before[same])
    p, o = before[1].exp(), float(odds[2])
    shares = torch.zeros(10)
    shares[7], shares[2] = 2 / 3, 1 / 3
    assert mixed[1].exp() == pytest.approx((p + o * shares) / (1 + o), abs=1e-6)
    assert float(mixed[3, 4].exp()) == pytest.approx((float(before[3, 4].exp()) + 0.5) / 1.5)


def test_odds_are_those_the_text_was_made_with() -> None:
    # Three times in four what followed before follows again, else one of 50 others.
    draw = torch.Generator().manual_seed(1)
    num = 40_000
    copies = torch.full((num, COLUMNS), -1)
    copies[:, 0], copies[:, 1] = 2, 7
    follows = torch.rand(num, generator=draw) < 0.75
    targets = torch.where(follows, 7, torch.randint(10, 60, (num,), generator=draw))
    odds = fit_odds(torch.full((num,), 0.02).log(), copies, targets)
    share = float((targets == 7).float().mean())
    wanted = (share - 0.02) / (1 - share)  # (p + o) / (1 + o) is the share
    assert float(odds[2]) == pytest.approx(wanted, rel=0.01)
    assert odds[0] == odds[1] == 0
    assert odds[3] == odds[2]  # never seen: as the next shorter
