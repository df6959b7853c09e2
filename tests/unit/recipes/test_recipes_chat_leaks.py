"""Conversations that stand on both sides of the split."""

from __future__ import annotations

import json
from pathlib import Path

from homespun.core import RunDirectory
from homespun.recipes.learn.chat import leaked_share


def test_leaks_are_a_share_of_what_is_held_out(tmp_path: Path) -> None:
    def write(split: str, numbers: range) -> None:
        rows = [{"messages": [{"role": "user", "content": str(number)}]} for number in numbers]
        path = tmp_path / "chat" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    # Half of the twenty held out are learned from; of what is learned from they are a hundredth.
    write("train", range(1000))
    write("validation", range(990, 1010))
    assert leaked_share(RunDirectory(tmp_path)) == 0.5
    write("validation", range(1000, 1020))
    assert leaked_share(RunDirectory(tmp_path)) == 0.0
