"""Sentences of two languages that models of one's own are taught with."""

from __future__ import annotations

from pathlib import Path

import pytest

THINGS = ("river", "house", "garden", "letter", "morning", "horse", "window", "bridge")
DEEDS = ("crosses", "leaves", "finds", "remembers", "paints", "hears")


def sentence(number: int) -> str:
    """No two are the same."""
    first, second = THINGS[number % 8], THINGS[number // 8 % 8]
    return f"The {first} {DEEDS[number % 6]} the old {second} of number {number}. 他在河边写信。"


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 files of 40 sentences."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(60):
        lines = [sentence(number * 40 + line) for line in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    return folder
