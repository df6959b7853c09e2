"""What a person meets who uses homespun from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import homespun
from homespun.cli.progress import open_progress
from homespun.core import DataError


def test_the_package_lists_what_it_offers() -> None:
    assert {"Run", "open_run", "spin"} <= set(dir(homespun))


def test_the_command_s_progress_serves_python_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("hello world.")
    with open_progress() as progress, pytest.raises(DataError, match="too short"):
        homespun.spin(short, runs=tmp_path / "runs", progress=progress)
    assert "reading: done" in capsys.readouterr().err
