"""The scripts behind the figures of health run, and say what they measured where."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SHORT = {
    "poison": ["--steps", "40", "--seeds", "1", "--threads", "1"],
    "save_overhead": ["--size", "0.2m", "--steps", "8", "--every", "3", "--rounds", "1"],
    "kill_resume": ["--kills", "1", "--inside-save", "0", "--steps", "20"],
}
NARROW = {"poison": {"ROWS": 2}}


@pytest.mark.parametrize("name", sorted(SHORT))
def test_a_figure_says_by_which_command_commit_and_machine(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module(name)
    for constant, value in NARROW.get(name, {}).items():
        monkeypatch.setattr(script, constant, value)
    kept = tmp_path / "result.json"
    threads = torch.get_num_threads()
    try:
        script.main([*SHORT[name], "--json", str(kept)])
    finally:
        torch.set_num_threads(threads)
    report = json.loads(kept.read_text())
    printed = capsys.readouterr().out
    for part in ("command", "commit", "machine", "versions"):
        assert report[part]
        assert f"{part}: " in printed
    assert report["machine"]["processor"]
