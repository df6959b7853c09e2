"""Whether plans keep their word: one of them for real, and the arithmetic of the rest."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.commands.bench.plan import show_promises
from homespun.core import RunDirectory, RunError
from homespun.recipes.bench import promises
from homespun.recipes.bench.promises import PromiseAsk, bench_promises, compared

PLAN = {
    "preset": "portable",
    "size": "96x4",
    "expected_seconds": 100.0,
    "expected_tokens": 10**6,
    "memory_bytes": 500,
    "prediction": {"bits_per_byte": 2.0, "low": 1.9, "high": 2.1},
}


def came(**more: Any) -> dict[str, Any]:
    return {
        "planning_seconds": 20.0,
        "seconds": 126.0,
        "tokens": 10**6,
        "val_loss": 4.0,
        "val_bpb": 2.03,
        "peak_memory_bytes": 450,
        **more,
    }


def test_what_was_said_is_compared_with_what_came() -> None:
    row = compared(2.0, None, PLAN, came())
    assert row["foretold"]["seconds"] == 120.0
    assert row["finish_error"] == pytest.approx(0.05)
    assert row["loss_error"] == pytest.approx(0.015)
    assert row["memory_error"] == pytest.approx(-0.1)
    assert row["inside"]
    assert not compared(2.0, None, PLAN, came(val_bpb=2.2))["inside"]
    assert compared(2.0, None, PLAN, came(peak_memory_bytes=501))["memory_error"] > 0


def test_a_finished_budget_is_not_tried_again_and_the_bars_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[float] = []

    def one(base: Path, minutes: float, preset: Any) -> dict[str, Any]:
        tried.append(minutes)
        over = 10 if minutes > 2 else 0
        return compared(minutes, preset, PLAN, came(seconds=120.0, peak_memory_bytes=495 + over))

    monkeypatch.setattr(promises, "try_plan", one)
    monkeypatch.setattr(promises, "prepare_corpus", lambda *_, **__: tmp_path / "text")
    ask = PromiseAsk("made", [2.0, 3.0], tmp_path)
    found = bench_promises(ask)
    assert tried == [2.0, 3.0]
    assert bench_promises(ask) == found
    assert bench_promises(ask._replace(minutes=[3.0]))["plans"] == found["plans"][1:]
    assert tried == [2.0, 3.0]
    assert found["kept"] == {"finish": True, "loss": True, "inside": 2, "memory": False}
    monkeypatch.setenv("COLUMNS", "160")
    show_promises(found)
    told = capsys.readouterr().out
    assert "within 15% of the prediction and never over it: missed" in told
    assert "ends within 5% of what was said: met" in told
    assert "2 of 2" in told


def test_a_small_budget_is_planned_trained_and_judged(tmp_path: Path) -> None:
    words = ["the", "old", "king", "sees", "a", "river", "and", "finds", "stone"]
    draw = random.Random(0)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        lines = [" ".join(draw.choices(words, k=9)) + "." for _ in range(60)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    found = bench_promises(PromiseAsk(str(folder), [0.05], tmp_path / "keep", "fast"))
    (row,) = found["plans"]
    assert (row["minutes"], row["preset"]) == (0.05, "fast")
    assert 0 < row["val_bpb"] < 3
    assert row["tokens"] > 0
    assert row["planning_seconds"] < row["seconds"]
    assert row["peak_memory_bytes"] > 10**8
    kept = json.loads((tmp_path / "keep" / "trial-fast-0.05" / "plan.json").read_text())
    assert row["foretold"]["memory_bytes"] == kept["memory_bytes"]


def test_another_text_is_not_tried_in_a_folder_that_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(
        tmp_path / "keep" / "text",
        asked={"command": "corpus build", "source": str(tmp_path / "a"), "language": "auto"},
        seed=0,
    )
    for path in (run.corpus / "card.json", run.shards / "index.json"):
        path.parent.mkdir()
        path.write_text("{}")
    (tmp_path / "b").mkdir()
    monkeypatch.setattr(promises, "try_plan", None)
    with pytest.raises(RunError, match=r"has the text of .*another folder with --keep"):
        bench_promises(PromiseAsk(str(tmp_path / "b"), [1.0], tmp_path / "keep"))
