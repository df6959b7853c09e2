"""Pairs of texts: a text is learned from or judged on, never both where that can be helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import Make  # type: ignore[import-not-found]

from homespun.recipes.applications import Asked, find_application, learn_application
from homespun.recipes.applications.judging import redrawn
from homespun.recipes.applications.pair import Relation, TwoTexts
from homespun.recipes.applications.reading import RowReader, read_parts
from homespun.recipes.applications.results import mistakes, predictions, results


def entailments(*, own: bool = True, num: int = 60) -> list[Mapping[str, Any]]:
    """Three claims a premise: its own, or the same three for all."""
    return [
        {
            "premise": f"Premise {n} is here.",
            "hypothesis": f"Claim {k} of {n}" if own else f"Claim {k}",
            "label": label,
        }
        for n in range(num)
        for k, label in enumerate(("yes", "no", "perhaps"))
    ]


def parts_of(path: Path, *, seed: int = 0, test: Path | None = None) -> Any:
    return read_parts(find_application("pair"), path, test, RowReader(), seed=seed)


def texts(side: Sequence[TwoTexts]) -> set[str]:
    return {text for pair in side for text in (pair.first, pair.second)}


@pytest.mark.parametrize("seed", range(3))
def test_no_text_is_on_both_sides(make: Make, seed: int) -> None:
    parts = parts_of(make("p.jsonl", entailments()), seed=seed)
    assert parts.facts["rows"] == {"train": 144, "dev": 18, "test": 18}
    assert parts.facts["test_texts_seen_in_training"] == 0
    assert parts.facts["test_answers_seen_in_training"] == 0
    for one, other in (
        (parts.train, parts.dev),
        (parts.train, parts.test),
        (parts.dev, parts.test),
    ):
        assert not texts(one) & texts(other)


def test_a_text_counts_on_whichever_side_of_a_pair_it_stands(make: Make) -> None:
    rows = [
        {"first": f"句子{n}{'甲乙'[k]}", "second": f"句子{n}{'乙丙'[k]}", "label": k}
        for n in range(60)
        for k in range(2)
    ]
    parts = parts_of(make("p.jsonl", rows))
    assert len(parts.test) == 12
    assert not texts(parts.train) & texts(parts.test)


def test_premises_are_kept_apart_where_claims_are_the_same_for_all(
    make: Make, tmp_path: Path
) -> None:
    data, out = make("p.jsonl", entailments(own=False)), tmp_path / "out"
    parts = parts_of(data)
    premises = [{pair.first for pair in side} for side in (parts.train, parts.dev, parts.test)]
    assert not premises[0] & premises[1]
    assert not premises[0] & premises[2]
    # What is shared all the same is told.
    told = learn_application(Asked("pair", data, out, method="overlap", judge_baselines=False))
    assert told["test_texts_seen_in_training"] == told["rows"]["test"] == 18
    note = "Of 18 of the 18 rows it was judged on one of the texts also stands in a row"
    assert any(line.startswith(note) for line in told["notes"])
    assert note in (out / "README.md").read_text("utf-8")
    told = learn_application(
        Asked("pair", make("o.jsonl", entailments()), tmp_path / "o", judge_baselines=False)
    )
    assert not any("one of the texts" in note for note in told["notes"])


def test_texts_of_another_file_that_were_learned_from_are_counted(make: Make) -> None:
    rows = entailments()
    test = [
        {**rows[0], "hypothesis": "Claim 9"},
        {"premise": "another", "hypothesis": "CLAIM 0 of  0", "label": "no"},
        {"premise": "another", "hypothesis": "Claim 9", "label": "no"},
    ]
    parts = parts_of(make("p.jsonl", rows), test=make("t.jsonl", test))
    assert parts.facts["test_texts_seen_in_training"] == 2
    assert parts.facts["test_rows_seen_in_training"] == 0


@pytest.mark.parametrize("is_number", [False, True])
def test_intervals_redraw_the_pairs_of_a_text_together(is_number: bool) -> None:
    task = find_application("pair")
    numbers = {"yes": 0.5, "no": 1.5, "perhaps": 3.0}
    rows = [
        {
            "first": row["premise"],
            "second": row["hypothesis"],
            "relation": numbers[row["label"]] if is_number else row["label"],
        }
        for row in entailments(num=10)
    ]
    examples = task.settle([task.example(row) for row in rows])
    answers = [Relation(example.relation) for example in [*examples[:-1], examples[0]]]

    def measured(num: int) -> tuple[dict[str, Any], Any]:
        draw = np.random.default_rng(0)
        found = task.measure(examples[:num], answers[:num], draw)
        found = redrawn(task, examples[:num], found)
        return results(task, "x", found, draw, facts={}), found

    told, found = measured(30)
    assert {entry["num"] for entry in told["measures"]} == {30}
    assert all("redrawn:10 first texts" in entry["signature"] for entry in told["measures"])
    assert told["measures"][0]["low"] < told["measures"][0]["value"] < 1
    if not is_number:
        assert told["measures"][0]["value"] == pytest.approx(29 / 30)
    # Rows are still judged one by one.
    wrong = mistakes(predictions(task, examples, answers, found))
    assert [row["row"] for row in wrong] == [30]
    # Ten texts are enough for an interval; seven are not, however many pairs they have.
    assert measured(21)[0]["measures"][0]["low"] is None
    # Where each text stands in one pair, pairs are what is redrawn.
    alone = task.measure(examples[::3], answers[::3], np.random.default_rng(0))
    alone = redrawn(task, examples[::3], alone)
    assert "redrawn" not in alone.statistics[0].signature


def test_many_relations_have_a_table_that_a_page_can_show() -> None:
    task = find_application("pair")
    pairs = [TwoTexts(f"a {n}", f"b {n}", f"kind {n % 30}") for n in range(90)]
    found = [Relation("kind 0") for _ in pairs]
    measured = task.measure(pairs, found, np.random.default_rng(0))
    assert measured.confusion is not None
    names, counts = measured.confusion
    assert (len(names), names[-1]) == (21, "other")
    assert sum(map(sum, counts)) == 90
    assert len(measured.classes) == 30
