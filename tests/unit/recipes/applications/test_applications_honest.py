"""What is told is of what was asked alone: no look at right answers, nothing left untold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import Make, questions, reviews, tagged  # type: ignore[import-not-found]

from homespun.core import DataError
from homespun.recipes.applications import Asked, find_application, learn_application
from homespun.recipes.applications.answer import Found
from homespun.recipes.applications.contract import Application
from homespun.recipes.applications.pair.overlap import common
from homespun.recipes.applications.reading import RowReader, read_examples


def told_of(
    task: str, rows: list[tuple[Mapping[str, Any], Any]]
) -> tuple[Application[Any, Any], Any]:
    application = find_application(task)
    examples = [application.example(row) for row, _ in rows]
    draw = np.random.default_rng(0)
    return application, application.measure(examples, [answer for _, answer in rows], draw)


def test_a_tagger_does_not_look_at_the_tags_of_what_it_answers(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    out, task = tmp_path / "out", find_application("tag")
    learn_application(
        Asked("tag", make("t.jsonl", tagged()), out, method="encoder", base=tiny_bert,
              options={"epochs": "0.1"}, judge_baselines=False)
    )  # fmt: skip
    learned = task.methods["encoder"]().load(out / "model")
    # Longer than the context, and the context ends within a name.
    tokens = ["Ann", "Smith"] * 60
    for tags in (["B-PER", "I-PER"] * 60, ["B-PER"] + ["I-PER"] * 119, ["O"] * 120):
        with_tags = task.example({"tokens": tokens, "tags": tags})
        without = task.example({"tokens": tokens})
        assert learned.answer([with_tags]) == learned.answer([without])


@pytest.mark.parametrize(
    ("said", "denied"),
    [
        ("he likes it", "he doesn't like it"),
        ("he likes it", "he DOESN’T like it"),
        ("it is good", "it is hardly good"),
        ("他喜欢", "他不喜欢"),
        ("他喜歡", "他沒喜歡"),
    ],
)
def test_pairs_of_which_one_denies_are_told_apart(said: str, denied: str) -> None:
    negation = 7
    assert common(said, denied)[negation] == 1.0
    assert common(said, said)[negation] == common(denied, denied)[negation] == 0.0


def test_what_a_reader_refuses_is_told_where_every_question_has_its_answer() -> None:
    rows: list[tuple[Mapping[str, Any], Any]] = [
        ({"question": "who?", "passage": f"It was p{n}.", "answers": [f"p{n}"]},
         Found("" if n < 3 else f"p{n}", -1, 0.1))
        for n in range(12)
    ]  # fmt: skip
    _, measured = told_of("answer", rows)
    assert measured.extra["answerable refused"] == 0.25
    assert any("25% are refused" in note for note in measured.notes)
    _, measured = told_of("answer", rows[3:])
    assert measured.extra["answerable refused"] == 0.0
    assert not measured.notes


def test_right_texts_that_were_learned_beside_other_texts_are_counted(
    make: Make, tmp_path: Path
) -> None:
    # Ten ways to say the same in one language, and one in the other.
    many = [{"source": f"Satz {n} von {n % 4}", "target": f"phrase {n % 4}"} for n in range(40)]
    out = tmp_path / "out"
    told = learn_application(
        Asked("translate", make("t.jsonl", many), out, method="memory", judge_baselines=False)
    )
    num = told["rows"]["test"]
    assert told["test_answers_seen_in_training"] == num
    assert told["test_rows_seen_in_training"] == 0
    note = f"Of {num:,} of the {num:,} rows it was judged on a right text also stands in"
    assert any(line.startswith(note) for line in told["notes"])
    assert note in (out / "README.md").read_text("utf-8")
    others = [{"source": f"Satz {n}", "target": f"phrase {n}"} for n in range(40)]
    told = learn_application(
        Asked("translate", make("o.jsonl", others), tmp_path / "o", method="memory",
              judge_baselines=False)
    )  # fmt: skip
    assert told["test_answers_seen_in_training"] == 0
    assert not any("right text" in note for note in told["notes"])


def test_partners_that_were_learned_beside_other_texts_are_counted(
    make: Make, tmp_path: Path
) -> None:
    rows = [{"first": f"who is {n}?", "second": f"it is {n % 3}"} for n in range(30)]
    told = learn_application(
        Asked("embed", make("e.jsonl", rows), tmp_path / "e", method="overlap",
              judge_baselines=False)
    )  # fmt: skip
    assert told["test_answers_seen_in_training"] == told["rows"]["test"]


def test_first_texts_that_were_learned_with_other_partners_are_counted(
    make: Make, tmp_path: Path
) -> None:
    rows = [{"first": f"who is {n}?", "second": f"it is {n}"} for n in range(30)]
    others = [{**row, "second": f"nobody {n}"} for n, row in enumerate(rows[:5])]
    new = {"first": "where?", "second": "there"}
    told = learn_application(
        Asked("embed", make("e.jsonl", rows), tmp_path / "e", method="overlap",
              test=make("t.jsonl", [*others, new]), judge_baselines=False)
    )  # fmt: skip
    assert told["test_rows_seen_in_training"] == told["test_answers_seen_in_training"] == 0
    assert told["test_texts_seen_in_training"] == 5
    assert "Of 5 of the 6 rows it was judged on one of" in " ".join(told["notes"])


def test_another_question_about_a_passage_is_no_row_that_was_learned_from(
    make: Make, tmp_path: Path
) -> None:
    rows = questions()
    others = [{**row, "question": f"{row['question']} Say it."} for row in rows]
    told = learn_application(
        Asked("answer", make("a.jsonl", rows), tmp_path / "o", method="overlap",
              test=make("t.jsonl", [*others, rows[0]]), judge_baselines=False)
    )  # fmt: skip
    assert told["test_rows_seen_in_training"] == 1
    assert told["test_texts_seen_in_training"] == len(others) + 1
    card = (tmp_path / "o" / "README.md").read_text("utf-8")
    assert "**1 of the test rows are among" in card
    assert f"Of {len(others) + 1:,} of the {len(others) + 1:,} rows it was judged on one of" in card


def test_copies_among_the_rows_judged_on_are_redrawn_together(make: Make, tmp_path: Path) -> None:
    data, own = (
        make("r.jsonl", reviews()),
        [{**row, "text": f"{row['text']}!"} for row in reviews()],
    )
    some = own[::8]

    def learned(name: str, rows: list[Any]) -> dict[str, Any]:
        told = learn_application(Asked("classify", data, tmp_path / name, method="majority",
                                       test=make(f"{name}-t.jsonl", rows)))  # fmt: skip
        assert [row["value"] for row in told["errors"]] == [0.0] * len(told["errors"])
        assert len((tmp_path / name / "predictions.jsonl").read_text().splitlines()) == len(rows)
        return told

    once, copied = learned("once", some), learned("copied", some * 6)
    for place in (0, 1):
        one, other = once["measures"][place], copied["measures"][place]
        assert other["value"] == pytest.approx(one["value"])
        assert other["num"] == 6 * one["num"]
        assert other["signature"].endswith(f"redrawn:{len(some)} different inputs")
        assert "redrawn" not in one["signature"]
        assert other["high"] - other["low"] > 0.8 * (one["high"] - one["low"])
    (_, beside) = copied["baselines"]
    assert beside["measures"][0]["signature"].endswith("different inputs")
    assert beside["difference"]["low"] is not None


def test_what_is_not_known_is_said_in_the_language_of_the_question() -> None:
    task = find_application("answer")
    for question, said in (("Who swims?", "I don't know"), ("谁在游泳？", "不知道")):
        example = task.example({"question": question, "passage": "Bob 跑步。"})
        assert task.plain(example, Found("", -1, 0.1)) == said


def test_classes_that_were_never_learned_are_told(make: Make, tmp_path: Path) -> None:
    data = make("r.jsonl", reviews())
    test = make("t.jsonl", [{"text": "so so", "label": "none"}, *reviews()[::9]])

    def learned(name: str, **more: Any) -> dict[str, Any]:
        return learn_application(Asked("classify", data, tmp_path / name, judge_baselines=False,
                                       method="majority", **more))  # fmt: skip

    told = learned("new", test=test)
    assert told["test_classes_not_in_training"] == {"none": 1}
    note = "Of the classes it was judged on 1 is in no row it learned from, and cannot be answered:"
    assert f"{note} none." in told["notes"]
    assert note in (tmp_path / "new" / "README.md").read_text("utf-8")
    told = learned("old")
    assert told["test_classes_not_in_training"] == {}
    assert not any("cannot be answered" in note for note in told["notes"])


def test_the_classes_of_a_row_are_what_its_task_tells_apart() -> None:
    def classes(task: str, row: dict[str, Any]) -> set[str]:
        found = find_application(task)
        (example,) = found.settle([found.example(row)])
        return set(found.classes(example))

    assert classes("classify", {"text": "a", "label": ["x", "y"]}) == {"x", "y"}
    assert classes("tag", {"tokens": ["a", "b"], "tags": ["B-PER", "O"]}) == {"PER"}
    assert classes("tag", {"tokens": ["a", "b"], "tags": ["DET", "NOUN"]}) == {"DET", "NOUN"}
    assert classes("segment", {"text": "你好", "words": ["你好"]}) == set()
    assert classes("pair", {"first": "a", "second": "b", "relation": "same"}) == {"same"}
    assert classes("pair", {"first": "a", "second": "b", "relation": 0.5}) == set()


def test_numbers_in_place_of_tags_are_told() -> None:
    """As the Hugging Face form of CoNLL-2003 has them."""
    for tags, is_told in ((("3", "0"), True), (("DET", "0"), False), (("B-PER", "O"), False)):
        _, measured = told_of("tag", [({"tokens": ["a", "b"], "tags": list(tags)}, tags)])
        assert any("The tags are numbers" in note for note in measured.notes) == is_told


@pytest.mark.parametrize("where", ["tokens", "tags"])
def test_a_word_or_tag_that_is_null_is_told(where: str) -> None:
    row = {"tokens": ["a", "b"], "tags": ["X", "Y"]}
    with pytest.raises(DataError, match="a text is null"):
        find_application("tag").example({**row, where: ["a", None]})


def test_spans_that_begin_with_i_are_judged_as_those_that_begin_with_b(
    make: Make, tmp_path: Path
) -> None:
    """IOB1, as of CoNLL-2003: B only where two spans of one kind touch."""
    rows = [{**row, "tags": [tag.replace("B-", "I-") for tag in row["tags"]]} for row in tagged()]
    measures = []
    for name, some in (("one", rows), ("two", tagged())):
        told = learn_application(
            Asked("tag", make(f"{name}.jsonl", some), tmp_path / name, judge_baselines=False)
        )
        measures.append({entry["name"]: entry["value"] for entry in told["measures"]})
    assert measures[0] == measures[1]
    assert measures[0]["token accuracy"] == measures[0]["micro F1"] == 1.0
    task = find_application("tag")
    touching = ("I-PER", "B-PER", "O", "I-LOC", "I-LOC")
    example = task.example({"tokens": ["a", "b", "c", "d", "e"], "tags": list(touching)})
    (settled,) = task.settle([example])
    assert settled.tags == ("B-PER", "B-PER", "O", "B-LOC", "I-LOC")


def test_files_in_several_schemes_of_spans_are_judged_in_one() -> None:
    task = find_application("tag")
    tokens = ["a", "b", "c", "d"]
    rows = [["B-X", "I-X", "I-X", "O"], ["B-X", "E-X", "O", "S-Y"]]
    settled = task.settle([task.example({"tokens": tokens, "tags": tags}) for tags in rows])
    assert settled[0].tags == ("B-X", "I-X", "E-X", "O")
    assert settled[1].tags == ("B-X", "E-X", "O", "S-Y")


def test_labels_with_spaces_around_them_are_no_other_labels(make: Make) -> None:
    path = make("m.jsonl", [{"text": "a", "label": [" red", "round "]}, {"text": "b", "label": []}])
    first, second = read_examples(find_application("classify"), path, RowReader())
    assert first.labels == ("red", "round")
    assert second.labels == ()
    path = make("n.jsonl", [{"text": "a", "label": [""]}, {"text": "b", "label": ["x", " "]}])
    first, second = read_examples(find_application("classify"), path, RowReader())
    assert (first.labels, second.labels, first.is_multi) == ((), ("x",), True)


@pytest.mark.parametrize("blank", ["  ", "\t", "　"])
def test_blank_cells_say_nothing(make: Make, blank: str) -> None:
    path = make("b.jsonl", [{"text": "a", "label": "x"}, {"text": "b", "label": blank}])
    with pytest.raises(DataError, match=r"row 2 of .* has no label"):
        read_examples(find_application("classify"), path, RowReader())
    path = make("q.jsonl", [{"question": "who?", "passage": "It was Ann.", "answers": blank}])
    (question,) = read_examples(find_application("answer"), path, RowReader())
    assert question.answers == ()
