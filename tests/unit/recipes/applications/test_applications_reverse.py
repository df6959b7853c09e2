"""Translators that learn their pairs the other way round as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_files import Make, pairs  # type: ignore[import-not-found]

from homespun.core import ConfigError, Silent, WorkClock
from homespun.core.files import read_json, write_json
from homespun.inference.search.reading import told_back
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.applications.contract import Lesson, Scored
from homespun.recipes.applications.translate.back import best_back
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import PairWriter

QUICK = {
    "width": "32", "layers": "1", "epochs": "30", "dropout": "0", "tokens": "512",
    "smoothing": "0", "beams": "3", "pieces": "300", "context": "40", "reverse": "yes",
}  # fmt: skip


def learn(data: Path, out: Path, **options: str) -> dict[str, Any]:
    settings = {**QUICK, **options}
    return learn_application(Asked("translate", data, out, options=settings, judge_baselines=False))


def writer_of(out: Path) -> PairWriter:
    learned = open_application(out).learned
    assert isinstance(learned, PairWriter)
    return learned


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    data = folder / "p.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs()), encoding="utf-8")
    learn(data, folder / "out")
    return folder / "out"


def test_both_ways_are_learned_by_one_model_and_the_weight_is_kept(both: Path) -> None:
    source = read_json(both / "model" / "training" / "config.json")["source"]
    rows = read_json(both / "results.json")["rows"]
    assert source["pairs"] == 2 * rows["train"]
    record = read_json(both / "model" / "transformer.json")
    writer = writer_of(both)
    assert writer.habits.back == record["back"]
    judged = [json.loads(line) for line in (both / "predictions.jsonl").read_text().splitlines()]
    again = writer.answer([Pair(row["asked"], ()) for row in judged])
    assert again == [row["answer"]["target"] for row in judged]


def test_it_gives_back_what_was_read_rather_than_another_text(both: Path) -> None:
    writer = writer_of(both)
    ids = writer.pairs([Pair(row["source"], (row["target"],)) for row in pairs()[:12]])
    written = [target for _, target in ids]
    marks = {"start_id": writer.start_id, "end_id": writer.end_id}
    own = 0
    for at, (read, _) in enumerate(ids):
        told = told_back(writer.model, [*read, writer.end_id], written, **marks)
        own += max(range(len(told)), key=told.__getitem__) == at
    assert own >= 9  # of twelve; by chance it would be one


def test_the_weight_is_the_smallest_of_those_with_the_best_answers(
    both: Path, tmp_path: Path
) -> None:
    writer = writer_of(both)
    dev = [Pair(row["source"], (row["target"],)) for row in pairs()[:24]]

    def lesson(score: Any, num: int = 24) -> Lesson[Pair]:
        return Lesson(
            [], dev[:num], tmp_path, seed=0, seconds=None, base=None, options={},
            clock=WorkClock(tmp_path / "clock.json"), progress=Silent(), score=score,
        )  # fmt: skip

    asked: list[list[str]] = []

    def third_is_best(examples: Any, answers: list[str]) -> Scored:
        asked.append(answers)
        return Scored("m", 1.0 if len(asked) in (3, 5) else 0.0)

    assert best_back(writer, lesson(third_is_best)) == 0.2
    plain = PairWriter(
        writer.model, writer._tokenizer, {"beams": 3, "length_penalty": 1.0}, None
    ).answer(dev)
    assert asked[0] == plain
    assert best_back(writer, lesson(lambda examples, answers: Scored("m", 1.0))) == 0.0
    assert best_back(writer, lesson(None)) == 0.0
    assert best_back(writer, lesson(third_is_best, num=19)) == 0.0


def test_it_ranks_what_apply_and_the_server_write(both: Path) -> None:
    record = read_json(both / "model" / "transformer.json")
    examples = [Pair(row["source"], ()) for row in pairs()]
    found: dict[float, list[str]] = {}
    try:
        for back in (0.0, -50.0):  # as well as can be, and as badly
            write_json(both / "model" / "transformer.json", {**record, "back": back})
            writer = writer_of(both)
            assert writer.ranking.weights.back == back
            assert writer.engine()._by.weights.back == back
            found[back] = writer.answer(examples)
    finally:
        write_json(both / "model" / "transformer.json", record)
    assert found[0.0] != found[-50.0]


def test_pairs_in_other_cuts_are_turned_round_too(make: Make, tmp_path: Path) -> None:
    learn(make("p.jsonl", pairs()), tmp_path / "out", piece_dropout="0.2", epochs="2")
    source = read_json(tmp_path / "out" / "model" / "training" / "config.json")["source"]
    rows = read_json(tmp_path / "out" / "results.json")["rows"]["train"]
    assert {one["pairs"] for one in source["sources"].values()} == {2 * rows}


def test_what_makes_no_sense_is_refused(make: Make, tmp_path: Path) -> None:
    data = make("p.jsonl", pairs())
    with pytest.raises(ConfigError, match="reverse does not go with near pairs"):
        learn(data, tmp_path / "out", memory="2")
    with pytest.raises(ConfigError, match="reverse must be yes or no"):
        learn(data, tmp_path / "more", reverse="maybe")
