"""What a step draws: the same as after torch's own seeding, which is dear where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from homespun.core import derive_seed
from homespun.training.stage.steps import seed_generators


@pytest.mark.parametrize("seed", [0, 7, derive_seed(3, "step", 5), 2**63 - 1])
def test_the_same_is_drawn_as_after_torchs_own_seeding(seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wanted = torch.rand(5), torch.randint(100, (5,)), torch.nn.functional.dropout(torch.ones(9))
        seed_generators(seed)
        found = torch.rand(5), torch.randint(100, (5,)), torch.nn.functional.dropout(torch.ones(9))
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("is_there", [False, True])
def test_generators_of_other_devices_are_seeded_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: is_there)
    monkeypatch.setattr(torch, "manual_seed", asked.append)
    with torch.random.fork_rng():
        seed_generators(11)
    assert asked == [11] * is_there
