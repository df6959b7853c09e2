"""What the integration tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "serving"))

from bad_input_stage import make_run, tales


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that was pretrained and taught to chat; to be copied or only read."""
    return make_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 150 short tales; only to be read."""
    folder = tmp_path_factory.mktemp("source") / "tales"
    folder.mkdir()
    (folder / "tales.txt").write_text(tales(150))
    return folder
