"""Translators that read their pairs cut into other tokens each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_files import Make, pairs  # type: ignore[import-not-found]

from homespun.core import ConfigError
from homespun.core.files import read_json, sha256_file
from homespun.recipes.applications import Asked, answered, learn_application, open_application

QUICK = {
    "width": "32", "layers": "1", "epochs": "6", "dropout": "0", "tokens": "512",
    "smoothing": "0", "beams": "2", "pieces": "300", "context": "40",
}  # fmt: skip


def learn(data: Path, out: Path, **options: str) -> None:
    settings = {**QUICK, **options}
    learn_application(Asked("translate", data, out, options=settings, judge_baselines=False))


def test_pairs_are_read_in_eight_cuts_by_turns_and_answered_as_ever(
    make: Make, tmp_path: Path
) -> None:
    data = make("p.jsonl", pairs())
    for name in ("one", "two"):
        learn(data, tmp_path / name, piece_dropout="0.2")
    source = read_json(tmp_path / "one" / "model" / "training" / "config.json")["source"]
    assert (source["kind"], len(source["sources"])) == ("turns", 8)
    sizes = {one["ids"] for one in source["sources"].values()}
    assert len(sizes) > 1  # they are not all cut alike
    weights = [
        sha256_file(tmp_path / name / "model" / "weights.safetensors") for name in ("one", "two")
    ]
    assert weights[0] == weights[1]
    found = answered(open_application(tmp_path / "one"), make("a.jsonl", [pairs()[0]]), {})
    assert next(found)["plain"]


def test_it_does_not_go_with_pairs_that_are_read_along(make: Make, tmp_path: Path) -> None:
    data = make("p.jsonl", pairs())
    with pytest.raises(ConfigError, match="piece_dropout does not go with near pairs"):
        learn(data, tmp_path / "out", piece_dropout="0.2", memory="2")
    with pytest.raises(ConfigError, match="piece_dropout"):
        learn(data, tmp_path / "more", piece_dropout="1.5")
