"""`homespun corpus tag`: a tagger that was learned looks through a run's corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homespun.cli import main
from homespun.core.files import read_json

NAMES = ["Ann", "Bob", "Eve", "Dan"]


def rows() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for number in range(120):
        name = NAMES[number % 4]
        words = ["we", "saw", name, "near", f"river{number % 9}", "."]
        tags = ["O", "O", "B-PER", "O", "O", "O"]
        found.append({"tokens": words[: 6 - number % 2], "tags": tags[: 6 - number % 2]})
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, a run with their corpus, and two taggers."""
    path = tmp_path_factory.mktemp("tagging")
    for language in ("en", "zh"):
        (path / language).mkdir()
    for number in range(12):
        english = [
            f"Then we saw {NAMES[k % 4]} near river{k % 9} . It was {number}." for k in range(30)
        ]
        chinese = [f"我們看見第{k + 30 * number}條河。" for k in range(30)]
        (path / "en" / f"{number}.txt").write_text("\n".join(english))
        (path / "zh" / f"{number}.txt").write_text("\n".join(chinese))
    entities = path / "entities.jsonl"
    entities.write_text("\n".join(map(json.dumps, rows())))
    words = path / "words.jsonl"
    parted = [["我們", "看見", f"第{k}", "條", "河", "。"] for k in range(60)]
    words.write_text("\n".join(json.dumps({"text": "".join(row), "words": row}) for row in parted))
    runs = ["--runs", str(path / "runs")]
    for language in ("en", "zh"):
        assert main(["corpus", "build", str(path / language), "--name", language, *runs]) == 0
    for task, file in (("tag", entities), ("segment", words)):
        out = ["--out", str(path / task), "--no-baselines"]
        assert main(["finetune", task, str(file), *out]) == 0
    return path


def test_names_and_words_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["--runs", str(folder / "runs")]

    def kinds(name: str) -> dict[str, dict[str, list[tuple[str, int]]]]:
        found: dict[str, dict[str, list[tuple[str, int]]]]
        found = read_json(folder / "runs" / name / "corpus" / "tags.json")["kinds"]
        return found

    assert main(["corpus", "tag", "en", str(folder / "tag"), *runs]) == 0
    people = kinds("en")["PER"]
    assert {text for text, _ in people["common"]} >= set(NAMES)
    assert "PER" in capsys.readouterr().out
    assert main(["corpus", "inspect", "en", *runs]) == 0
    assert "what tag found" in capsys.readouterr().out
    assert main(["corpus", "tag", "zh", str(folder / "segment"), *runs]) == 0
    words = dict(kinds("zh")["word"]["common"])
    assert {"我們", "看見", "河"} <= words.keys()


def test_what_is_no_tagger_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "labels.csv"
    lines = [f"{kind} text {k},{kind}" for k in range(20) for kind in ("good", "bad")]
    file.write_text("\n".join(["text,label", *lines]))
    out = str(folder / "labels")
    assert main(["finetune", "classify", str(file), "--out", out, "--no-baselines"]) == 0
    runs = ["--runs", str(folder / "runs")]
    assert main(["corpus", "tag", "en", out, *runs]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "has learned no tags" in said
    assert "finetune tag" in said
