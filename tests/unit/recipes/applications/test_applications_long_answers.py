"""How long an answer a reader may give: as long as those it learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from task_files import Make, questions  # type: ignore[import-not-found]

from homespun.core import DataError
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.applications.answer.encoder import longest_answer
from homespun.recipes.applications.answer.task import Question
from homespun.training import Example

CHARACTERS = 40


class Points(torch.nn.Module):
    """Holds two places of every row for the first and the last token of an answer."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.places = first, last

    def forward(self, ids_BT: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        scores_BT2 = torch.zeros(*ids_BT.shape, 2)
        for side, place in enumerate(self.places):
            scores_BT2[:, place, side] = 9.0
        return scores_BT2


def long_answers() -> list[Mapping[str, Any]]:
    """Chinese passages whose answers are forty characters long."""
    rows: list[Mapping[str, Any]] = []
    for n in range(20):
        answer = "".join(chr(0x4E00 + (7 * n + k) % 400) for k in range(CHARACTERS))
        passage = f"第{n}天是这样的：{answer}。大家都知道。"
        rows.append({"question": f"第{n}天怎么样？", "passage": passage, "answers": [answer]})
    return rows


def learn(data: Path, out: Path, **more: Any) -> Any:
    options = {"epochs": "0.1", "negatives": "0"}
    learn_application(Asked("answer", data, out, options=options, judge_baselines=False, **more))
    return open_application(out).learned


def answer_of(reader: Any, row: Mapping[str, Any]) -> str:
    """What it says where it is surest of the right place."""
    question = Question(row["question"], row["passage"])
    (window,) = reader._windows(question)
    start = question.passage.index(row["answers"][0])
    first = next(at for at, (a, b) in enumerate(window.offsets) if a <= start < b)
    reader.model, reader.threshold = Points(first, first + CHARACTERS - 1), -1e9
    return str(reader.answer([question])[0].text)


def test_answers_may_be_as_long_as_those_learned_from(make: Make, tmp_path: Path) -> None:
    out, row = tmp_path / "out", long_answers()[0]
    reader = learn(make("q.jsonl", long_answers()), out)
    assert reader.longest == CHARACTERS
    assert answer_of(reader, row) == row["answers"][0]
    path = out / "model" / "encoder.json"
    record = json.loads(path.read_text("utf-8"))
    for damaged in (0, -3, "many", [40], True):
        path.write_text(json.dumps({**record, "longest_answer": damaged}), "utf-8")
        with pytest.raises(DataError, match="is damaged"):
            open_application(out)
    # Folders of before say nothing of it.
    del record["longest_answer"]
    path.write_text(json.dumps(record), "utf-8")
    before: Any = open_application(out).learned
    assert before.longest == 30
    assert answer_of(before, row) != row["answers"][0]


def test_short_answers_leave_it_as_it_was(make: Make, tmp_path: Path, tiny_bert: Path) -> None:
    assert learn(make("q.jsonl", questions()), tmp_path / "out", base=tiny_bert).longest == 30


def test_one_long_answer_of_many_does_not_count() -> None:
    def example(length: int) -> Example:
        return Example([0] * 300, [5, 4 + length] if length else [0, 0])

    few = [example(n) for n in (3, 35, 0, 0)]
    assert longest_answer(few) == 35
    assert longest_answer([example(2)] * 300 + [example(200)]) == 30
    assert longest_answer([example(0)] * 3) == 30
    assert longest_answer([]) == 30
