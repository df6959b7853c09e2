"""The list of runs on terminals of any width."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from homespun import recipes
from homespun.cli.main import main
from homespun.recipes import RunSummary

WORDS = ("name", "parameters", "bits/byte", "minutes", "stage")
FACTS = ("1.2 M + 346 k n-grams", "1.234", "12.5", "pretraining")


def listed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    columns: int,
) -> str:
    """What `homespun runs` prints of runs with `names`; nothing is wider than the terminal."""
    runs = [
        RunSummary(
            *(name, Path("runs") / name, "pretraining", "2026-11-22T10:34:56Z"),
            *(1_234_567, 1.23449, 12.5, 345_678),
        )
        for name in names
    ]
    monkeypatch.setattr(recipes, "list_runs", lambda *_: runs, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["runs"]) == 0
    told = capsys.readouterr().out
    assert "…" not in told
    assert max(cell_len(line.rstrip()) for line in told.splitlines()) <= columns
    return told


@pytest.mark.parametrize("columns", [80, 120])
def test_headers_and_rows_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    header, _, *rows = filter(
        str.strip, listed(monkeypatch, capsys, ["tales", "novels-zh+log"], columns).splitlines()
    )
    assert tuple(header.split())[:5] == WORDS
    assert len(rows) == 2
    for row, name in zip(rows, ("tales", "novels-zh+log"), strict=True):
        assert row.split()[0] == name
        assert all(fact in row for fact in FACTS)
    assert ("2026-11-22 10:34" in rows[0]) == ("begun" in header) == (columns == 120)


def test_what_no_table_can_hold_stands_one_below_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["tales-" + "of-many-words-" * 4 + "end", "长篇小说" * 9]
    told = listed(monkeypatch, capsys, names, 80)
    lines = [line.rstrip() for line in told.splitlines()]
    assert all(name in lines for name in names)
    text = " ".join(told.split())
    for fact in (*FACTS, "begun 2026-11-22 10:34"):
        assert text.count(fact) == 2


def test_narrow_terminals_break_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = listed(monkeypatch, capsys, ["tales"], 40).splitlines()
    assert lines[0] == "tales"
    assert all(line.startswith("  ") for line in lines[1:])
    words = "pretraining, 12.5 minutes, parameters 1.2 M + 346 k n-grams, 1.234 bits/byte, begun"
    assert " ".join(lines[1:]).split() == [*words.split(), "2026-11-22", "10:34"]
