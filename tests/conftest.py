"""Shared fixtures: where the real data sets are, and a calm torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[1]


def _data_root() -> Path:
    return Path(os.environ.get("HOMESPUN_DATA", _CHECKOUT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_set() -> Callable[[str], Path]:
    """Return the path of a file or folder under $HOMESPUN_DATA.

    Where the data sets are absent the test is skipped with the reason; in CI, which relies on
    them, it fails.
    """

    def locate(name: str) -> Path:
        path = _data_root() / name
        if not path.exists():
            message = f"the data set {name} is not under $HOMESPUN_DATA ({_data_root()})"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return locate
