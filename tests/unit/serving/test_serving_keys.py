"""Keys that are made at the same moment."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from homespun.core.files import write_json
from homespun.serving import KeyRing, add_key, keys, read_keys


def test_of_two_keys_made_at_the_same_moment_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = tmp_path / "keys.json", {}

    def make(name: str) -> None:
        made[name] = add_key(path, name)

    second = threading.Thread(target=make, args=["bert"])

    def write(where: Path, value: Any) -> None:
        """Let the other one come in between reading and writing, if it can."""
        monkeypatch.setattr(keys, "write_json", write_json)
        second.start()
        second.join(0.5)
        write_json(where, value)

    monkeypatch.setattr(keys, "write_json", write)
    make("anna")
    second.join(20)
    ring = KeyRing(read_keys(path))
    assert {name: ring.name_of(key.encode()) for name, key in made.items()} == {
        "anna": "anna",
        "bert": "bert",
    }
