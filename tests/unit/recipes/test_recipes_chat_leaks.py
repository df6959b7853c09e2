"""Conversations that stand on both sides of the split, and the loss of those held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import homespun.training
from homespun.core import ChatTokens, RunDirectory
from homespun.recipes.learn.chat import _chat_loss, leaked_share
from homespun.training import ChatBatches


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


@pytest.mark.parametrize(
    ("num", "rows"), [(5, [4, 1]), (6, [4, 2]), (8, [4, 4]), (3, [3]), (90, [4] * 8)]
)
def test_the_loss_of_chats_that_are_held_out_counts_each_row_once(
    monkeypatch: pytest.MonkeyPatch, num: int, rows: list[int]
) -> None:
    """Up to eight batches of them, of which the last need not be full."""

    def seen(model: Any, objective: Any, batches: Any) -> dict[str, Any]:
        return {"rows": [len(batch.ids_BT) for batch in batches]}

    monkeypatch.setattr(homespun.training, "held_out_loss", seen)
    chat = ChatTokens(tuple(range(9)), (False,) * 4 + (True,) * 5)  # fills a row by itself
    held_out = ChatBatches([chat] * num, context=10, rows=4, seed=0)
    assert _chat_loss(None, held_out)["rows"] == rows
