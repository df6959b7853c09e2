"""What a stage freed is not kept beside what the next one takes, and texts are not held twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import homespun.evaluation
from homespun.core import ChatTokens, Message, RunDirectory, Silent
from homespun.recipes import judge
from homespun.recipes.learn.chat import encoded_conversations

STAGES = """
import sys
from pathlib import Path
import psutil
from homespun.core import WorkClock
from homespun.recipes.process import prepare_process
from homespun.recipes.timing import Timings

prepare_process()
folder = Path(sys.argv[1])
timings = Timings(folder / "timings.json", WorkClock(folder / "clock.json"))
resident = psutil.Process().memory_info
before = resident().rss
with timings.stage("one"):
    blocks = [bytearray(b"1") * (1 << 20) for _ in range(300)]
    last = blocks[-1]  # what lies above the freed ones is not the end of the heap
    del blocks
    kept = resident().rss
print(kept - before, resident().rss - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc"
)
def test_memory_that_a_stage_freed_is_given_back_before_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STAGES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 200e6, "within a stage freed memory is kept"
    assert left < 100e6


def chats(folder: Path, split: str, num: int) -> None:
    folder.mkdir(exist_ok=True)
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}]
    rows = [json.dumps({"messages": messages}) + "\n" for _ in range(num)]
    (folder / f"{split}.jsonl").write_text("".join(rows))


def test_conversations_are_encoded_as_they_are_read(tmp_path: Path) -> None:
    chats(tmp_path / "chat", "train", 5)
    asked: list[Any] = []

    class Encoder:
        def encode_chat(self, messages: list[Message]) -> ChatTokens:
            asked.append(messages)
            return ChatTokens((1, 2), (False, True))

    encoder: Any = Encoder()
    found = encoded_conversations(RunDirectory(tmp_path), encoder, "train")
    assert next(found).ids == (1, 2)
    assert len(asked) == 1
    assert len(list(found)) == 4


def test_training_conversations_are_read_when_the_chat_model_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then an evaluation needs its memory for other things."""
    run = RunDirectory.create(tmp_path / "run", asked={"command": "spin"}, seed=0)
    chats(run.path / "chat", "train", 3)
    chats(run.path / "chat", "validation", 2)
    for stage in ("pretrain", "sft"):
        run.stage(stage).mkdir()
        (run.stage(stage) / "done.json").write_text("{}")

    class NoRun:
        model = tokenizer = engine = None

        def __init__(self, path: Path, *, stage: str) -> None:
            pass

    def evaluated(model: Any, tokenizer: Any, engine: Any, data: Any, **_: Any) -> dict[str, int]:
        (run.path / "chat" / "train.jsonl").rename(run.path / "chat" / "moved.jsonl")
        later: Iterable[Any] = data.train_conversations
        chats(run.path / "chat", "train", 7)
        return {"held_out": len(data.conversations), "train": len(list(later))}

    monkeypatch.setattr(judge, "Run", NoRun)
    monkeypatch.setattr(homespun.evaluation, "evaluate_run", evaluated)
    monkeypatch.setattr("homespun.corpus.iter_documents", lambda *_: [])
    found = judge.ensure_evaluation(run, seconds=1.0, progress=Silent())
    assert found == {"held_out": 2, "train": 7}
