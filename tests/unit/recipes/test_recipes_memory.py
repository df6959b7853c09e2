"""A table that cannot be counted here is not counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.core import BudgetError, RunDirectory
from homespun.recipes.scale import propose
from homespun.recipes.scale.options import Text
from homespun.scaling.rules import LEAST_TRAINING, left_after_counting


def ask(tokens: int) -> propose.Ask:
    run = RunDirectory(Path("nowhere"))
    return propose.Ask(run, Text(tokens, 3.0), "bpe", 512, 64, None, None, 10)


def test_counting_that_does_not_fit_leaves_portable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propose, "total_memory_bytes", lambda: 10**9)
    assert propose._within_memory(ask(10_000), None) is None
    assert propose._within_memory(ask(10_000), "fast") == "fast"
    assert propose._within_memory(ask(10**8), None) == "portable"
    assert propose._within_memory(ask(10**8), "portable") == "portable"
    with pytest.raises(BudgetError, match=r"more memory.*23\.0 GB of 1\.0 GB.*--portable"):
        propose._within_memory(ask(10**8), "fast")


def test_counting_leaves_time_to_train() -> None:
    assert left_after_counting(60, 10) == 50
    assert left_after_counting(60, 100) == LEAST_TRAINING * 60
