"""What is said of a corpus once it is built, and of a run whose plan had enough of its text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from homespun.core import RunDirectory, Silent
from homespun.core.files import write_json
from homespun.recipes.judge import is_capped
from homespun.recipes.texts import ensure_corpus, kept_text


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def card(**changed: Any) -> dict[str, Any]:
    splits = {"train": {"bytes": 5_000, "documents": 3}, "test": {"bytes": 800, "documents": 1}}
    return {"splits": splits, "dropped": {}, "unreadable": [], **changed}


def test_a_text_kept_whole_is_told_in_a_word() -> None:
    assert kept_text(card(), Path("mine")) == "5.8 kB in 4 documents are kept"


def test_most_of_what_is_left_out_has_a_reason_and_files_not_read_a_number() -> None:
    dropped = {"too-short": {"bytes": 1_000}, "near-duplicate": {"bytes": 2_000_000}}
    told = kept_text(card(dropped=dropped, unreadable=[{}], num_unreadable=7), Path("my runs/a"))
    assert "2.0 MB left out, most of it as near-duplicate; 7 files could not be read" in told
    assert told.endswith("(`homespun corpus inspect 'my runs/a'`)")


def test_a_corpus_is_told_of_once_when_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        words = f"The cat number {number} sat on mat {number * 7} and looked at {number * 13} mice."
        (tmp_path / "in" / f"{number}.txt").write_text(words * 3)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    heard = Heard()
    for _ in range(2):
        ensure_corpus(run, str(tmp_path / "in"), language="en", seed=0, progress=heard)
    assert len([one for one in heard.said if "kept" in one]) == 1


@pytest.mark.parametrize(
    ("plan", "capped"),
    [
        ({"seconds": 60.0, "num_steps": 90}, True),
        ({"seconds": 60.0, "num_steps": None}, False),
        ({"seconds": None, "num_steps": 90}, False),
        (None, False),
    ],
)
def test_a_plan_of_minutes_that_steps_end_has_enough_of_its_text(
    plan: dict[str, Any] | None, capped: bool, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    if plan is not None:
        write_json(run.plan, plan)
    assert is_capped(run) is capped
