import json
from pathlib import Path

import pytest

from homespun.recipes.judge import was_lowest_last


def stage_of(folder: Path, losses: list[float | None]) -> Path:
    rows = [{"kind": "train", "step": 1, "loss": 9.0}]
    rows += [{"kind": "eval", "step": at, "loss": loss} for at, loss in enumerate(losses)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([4.0, 3.5, 3.2, 3.0], True),
        ([4.0, 3.5, 3.0, 3.003], True),  # within what a look is off by
        ([4.0, 3.0, 3.2, 3.1], False),
        # It rose on the way, and only the learning rate that decayed brought it down again.
        ([4.0, 3.5, 3.7, 3.8, 3.45], False),
        ([4.0, 3.5, 3.52, 3.4], True),
        ([4.0, None, 3.2, 3.1, 3.0], True),  # a look that was no number
        ([4.0, 3.0, 2.9], None),
    ],
)
def test_the_record_tells_whether_held_out_loss_still_fell(tmp_path, losses, told) -> None:
    assert was_lowest_last(stage_of(tmp_path, losses)) is told


def test_without_a_record_nothing_is_told(tmp_path) -> None:
    assert was_lowest_last(tmp_path) is None
    stage = stage_of(tmp_path, [4.0, 3.5, 3.2, 3.0])
    (stage / "metrics.jsonl").write_text("{\nnot JSON\n", encoding="utf-8")
    assert was_lowest_last(stage) is None


@pytest.mark.parametrize(
    "row", ["[1]", '{"kind": "eval", "loss": "low"}', '{"kind": "eval", "loss": []}']
)
def test_rows_of_something_else_tell_nothing(tmp_path, row) -> None:
    stage = stage_of(tmp_path, [4.0, 3.5, 3.2, 3.0])
    with (stage / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    assert was_lowest_last(stage) is None
