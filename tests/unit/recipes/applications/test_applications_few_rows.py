"""How many steps an encoder learns for: few rows are read more often than many."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from task_files import Make, reviews  # type: ignore[import-not-found]

from homespun.recipes.applications import Asked, learn_application
from homespun.recipes.applications.neural.fitting import chosen_settings, num_steps

KNOWS: Any = SimpleNamespace(is_pretrained=True)
KNOWS_NOTHING: Any = SimpleNamespace(is_pretrained=False)


@pytest.mark.parametrize(
    ("batches", "steps"),
    [
        (1, 20),  # 20 readings at most
        (4, 80),  # 200 short rows: four readings would be 16 steps
        (10, 200),
        (15, 200),  # a thousand
        (49, 200),
        (50, 200),  # four readings are enough from here on
        (51, 204),
        (3000, 12_000),
    ],
)
def test_a_pretrained_encoder_reads_few_rows_more_often(batches: int, steps: int) -> None:
    assert num_steps(chosen_settings(KNOWS, {}), batches) == steps
    assert num_steps(chosen_settings(KNOWS, {"rate": "1e-5", "tokens": "512"}), batches) == steps


def test_epochs_that_are_asked_for_are_kept_to() -> None:
    assert num_steps(chosen_settings(KNOWS, {"epochs": "4"}), 4) == 16
    assert num_steps(chosen_settings(KNOWS, {"epochs": "0.1"}), 4) == 1
    assert num_steps(chosen_settings(KNOWS, {"epochs": "50"}), 4) == 200


def test_an_encoder_from_nothing_reads_all_rows_as_often() -> None:
    assert [num_steps(chosen_settings(KNOWS_NOTHING, {}), n) for n in (1, 4, 50)] == [12, 48, 600]


def test_training_is_told_so(make: Make, tmp_path: Path, tiny_bert: Path) -> None:
    data = make("r.jsonl", reviews())

    def steps(name: str, **options: str) -> int:
        asked = Asked("classify", data, tmp_path / name, base=tiny_bert, options=options)
        learn_application(asked._replace(judge_baselines=False))
        config = json.loads((tmp_path / name / "model" / "training" / "config.json").read_text())
        return int(config["train"]["num_steps"])

    reading = steps("once", epochs="1")  # as many as there are batches
    assert reading <= 3
    assert steps("usual") == 20 * reading
    assert steps("asked", epochs="4") == 4 * reading
