"""What the integration tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from bad_input_stage import make_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that was pretrained and taught to chat; to be copied or only read."""
    return make_run(tmp_path_factory.mktemp("finished"))
