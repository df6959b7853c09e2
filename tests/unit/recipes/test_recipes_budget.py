"""A budget that reading has used up still ends in a model, and the person is told."""

from __future__ import annotations

from pathlib import Path

from homespun.core import Silent, WorkClock
from homespun.recipes.pipeline import LEAST_PRETRAIN_SHARE, _seconds_to_pretrain


class Listens(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_enough_time_is_shared_out_without_a_word(tmp_path: Path) -> None:
    listens = Listens()
    seconds = _seconds_to_pretrain(600.0, WorkClock(tmp_path / "clock.json"), listens)
    assert 400 < seconds < 600
    assert listens.said == []


def test_slow_reading_makes_the_run_late_but_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text('{"seconds": 100.0}')
    listens = Listens()
    seconds = _seconds_to_pretrain(90.0, WorkClock(tmp_path / "clock.json"), listens)
    assert seconds == LEAST_PRETRAIN_SHARE * 90.0
    assert "will end late" in listens.said[0]
    assert "1 min 40 s of 1 min 30 s" in listens.said[0]
