"""Rows that say nothing, or not what they should: of files that are learned and of those that are
answered."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import Make, reviews, tagged  # type: ignore[import-not-found]

from homespun.core import DataError
from homespun.recipes.applications import (
    Asked,
    answer_file,
    answered,
    find_application,
    learn_application,
    open_application,
)
from homespun.recipes.applications.answer import Found
from homespun.recipes.applications.classify import Labels
from homespun.recipes.applications.embed import Partner
from homespun.recipes.applications.reading import RowReader, read_examples


def test_a_bad_row_leaves_no_half_of_the_answers(make: Make, tmp_path: Path) -> None:
    mine, out, new = tmp_path / "mine", tmp_path / "said.jsonl", tmp_path / "new.jsonl"
    learn_application(Asked("classify", make("r.jsonl", reviews()), mine, judge_baselines=False))
    lines = [json.dumps({"text": f"a fine road {n}"}) for n in range(600)]
    for bad, says in (
        ('{"text": "a fine', "line 500 .* not valid JSON"),
        ('{"text": ["a", "fine"]}', "row 500 of .*one text is wanted in a cell"),
        ('{"words": "a fine road"}', "no column for the text"),
    ):
        new.write_text("\n".join([*lines[:499], bad, *lines[500:]]))
        with pytest.raises(DataError, match=says):
            answer_file(mine, new, {}, out)
        assert list(tmp_path.glob("said.jsonl*")) == []
    new.write_text("\n".join(lines))
    assert answer_file(mine, new, {}, out) == (600, 0, 0, 0)
    new.write_text("")
    with pytest.raises(DataError, match="has no rows"):
        answer_file(mine, new, {}, tmp_path / "none.jsonl")
    assert list(tmp_path.glob("none.jsonl*")) == []


def test_a_sentence_without_words_has_no_answer(make: Make, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    learn_application(Asked("tag", make("t.jsonl", tagged()), mine, judge_baselines=False))
    new = make("new.jsonl", [{"tokens": ["Ann", "left"]}, {"tokens": []}, {"tokens": ["Rome"]}])
    rows = list(answered(open_application(mine), new, {}))
    assert [row["row"] for row in rows] == [1, 2, 3]
    assert rows[1]["answer"] is None
    assert len(rows[2]["tags"]) == 1


def test_a_blank_line_of_standard_input_has_no_answer_whatever_the_task(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a line has one column, "text", which no question is called."""
    mine = tmp_path / "mine"
    rows = [
        {"question": f"who {n}?", "passage": f"It was p{n}.", "answers": [f"p{n}"]}
        for n in range(20)
    ]
    data = make("q.jsonl", rows)
    learn_application(Asked("answer", data, mine, method="overlap", judge_baselines=False))
    line = json.dumps({"question": "who?", "passage": "It was Ann."})
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n\n{line}\n\n"))
    found = list(answered(open_application(mine), Path("-"), {}))
    assert [(row["row"], row["answer"]) for row in found] == [
        (1, "It was Ann."),
        (2, None),
        (3, "It was Ann."),
        (4, None),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("who was it?\n"))
    with pytest.raises(DataError, match="no column for the question"):
        list(answered(open_application(mine), Path("-"), {}))


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("classify", {"text": ["a", "b"], "label": "x"}),
        ("pair", {"first": "a", "second": {"en": "b"}, "relation": "x"}),
        ("embed", {"first": ["a"], "second": "b"}),
        ("segment", {"text": ["我", "们"], "words": "我们"}),
        ("answer", {"question": "who?", "passage": ["Ann.", "Bob."], "answers": ["Ann"]}),
        ("translate", {"source": "a", "target": {"en": "a", "de": "b"}}),
        ("summarise", {"text": {"body": "a"}, "summary": "b"}),
        ("write", {"prompt": ["a", "b"], "text": "c"}),
        ("write", {"text": ["a", ["b", "c"]]}),
        ("tag", {"tokens": [["Ann", "NNP"], ["runs", "VBZ"]], "tags": ["B-PER", "O"]}),
        ("tag", {"tokens": ["Ann", "runs"], "tags": [["B-PER"], ["O"]]}),
        ("tag", {"tokens": {"words": ["Ann"]}, "tags": ["B-PER"]}),
        ("segment", {"text": "我们", "words": ["我", ["们"]]}),
    ],
)
def test_lists_are_not_learned_as_texts(make: Make, task: str, row: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"row 1 of .*one text is wanted in a cell"):
        read_examples(find_application(task), make("x.jsonl", [row]), RowReader())


def test_what_is_null_among_right_texts_is_none_of_them() -> None:
    pair = find_application("translate").example({"source": "Hallo", "target": [None, " Hi "]})
    assert pair.targets == ("Hi",)
    with pytest.raises(DataError, match="nothing to write"):
        find_application("summarise").example({"text": "Long.", "summary": [None, ""]})
    asked = {"question": "who?", "passage": "None of us: Ann.", "answers": [None, "Ann"]}
    assert find_application("answer").example(asked).answers == ("Ann",)


@pytest.mark.parametrize(
    ("task", "row", "answer", "plain"),
    [
        ("summarise", {"text": "x"}, "One.\n\nTwo.", "One. Two."),
        ("answer", {"question": "who?", "passage": "x"}, Found("Ann\nand Bob", 0, 1.0),
         "Ann and Bob"),
        ("answer", {"question": "谁？", "passage": "x"}, Found("张\n三", 0, 1.0), "张三"),
        ("embed", {"first": "x", "second": "y"}, Partner(1, ("a\nb", "c")), "a b"),
    ],
)  # fmt: skip
def test_a_plain_answer_is_one_line(
    task: str, row: dict[str, str], answer: Any, plain: str
) -> None:
    found = find_application(task)
    assert found.plain(found.example(row), answer) == plain


def test_rows_that_rightly_have_no_label_are_told() -> None:
    task = find_application("classify")
    rows = [{"text": str(n), "label": ["red"] if n < 2 else []} for n in range(10)]
    examples = task.settle([task.example(row) for row in rows])
    answers = [Labels(example.labels, None, is_multi=True) for example in examples]
    measured = task.measure(examples, answers, np.random.default_rng(0))
    assert [one.value for one in measured.statistics] == [0.2, 1.0, 1.0]
    (note,) = measured.notes
    assert note.startswith("8 of the 10 rows have no label and were given none")
    some = task.measure(examples[:2], answers[:2], np.random.default_rng(0))
    assert not some.notes


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("classify", {"text": "a", "label": {"name": "x"}}),
        ("pair", {"first": "a", "second": "b", "relation": ["x"]}),
        ("pair", {"first": "a", "second": "b", "relation": {"x": 1}}),
    ],
)
def test_lists_are_not_learned_as_labels(make: Make, task: str, row: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"row 1 of .*one label is wanted in a cell"):
        read_examples(find_application(task), make("x.jsonl", [row]), RowReader())


def test_a_prompt_counts_whichever_row_has_the_first(make: Make) -> None:
    task = find_application("write")
    path = make(
        "p.jsonl",
        [{"text": "one"}, {"text": "two", "prompt": "2"}, {"instruction": "3", "text": "three"}],
    )
    found = read_examples(task, path, RowReader())
    assert [piece.prompt for piece in found] == ["", "2", "3"]
    # One that no row has was written down wrong.
    with pytest.raises(DataError, match=r"no column for the prompt: promt .*did you mean 'prompt'"):
        read_examples(
            task, make("q.jsonl", [{"text": "two", "prompt": "2"}]), RowReader({"prompt": "promt"})
        )
    alone = read_examples(task, make("r.jsonl", [{"text": "one"}]), RowReader())
    assert alone[0].prompt == ""


def test_what_is_not_told_is_not_told_to_be_nothing(make: Make, tmp_path: Path) -> None:
    """A question whose answer a file leaves out may well have one."""
    task = find_application("answer")
    one = {"question": "who?", "passage": "It was Ann.", "answers": ["Ann"]}
    bare = {"question": "what?", "passage": "It was Ann."}
    with pytest.raises(DataError, match=r"row 2 of .* has no answers \(got question, passage"):
        read_examples(task, make("q.jsonl", [one, bare]), RowReader())
    none = make("r.jsonl", [one, {**bare, "answers": None}, {**bare, "answers": []}])
    assert [found.answers for found in read_examples(task, none, RowReader())] == [("Ann",), (), ()]
    asked = [{"question": "who?", "answers": ["Ann"]}, {"question": "what?"}]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps([{"context": "It was Ann.", "qas": asked}]))
    with pytest.raises(DataError, match=r"row 2 of .* has no answers"):
        read_examples(task, path, RowReader())


def test_answers_in_other_shapes_are_read_or_told(tmp_path: Path) -> None:
    task = find_application("answer")
    asked = {"question": "who?", "passage": "Ann saw Ann."}
    for given in ({"text": "Ann", "answer_start": 8}, [{"text": "Ann", "answer_start": 8}]):
        found = task.example({**asked, "answers": given})
        assert (found.answers, found.start) == (("Ann",), 8)
    assert task.example({**asked, "answers": {"text": "Ann"}}).start == -1
    for wrong in ({"answer": "Ann"}, [{"value": "Ann", "answer_start": 8}], {}):
        with pytest.raises(DataError, match="an answer has no text"):
            task.example({**asked, "answers": wrong})
    path = tmp_path / "squad.json"
    for listed in ([{"answer": "Ann"}], [{"text": "Ann"}, {"answer": "Ann"}]):
        passage = {"context": "Ann saw Ann.", "qas": [{"question": "who?", "answers": listed}]}
        path.write_text(json.dumps([passage]))
        with pytest.raises(DataError, match="one of its parts has no text"):
            read_examples(task, path, RowReader())


def test_parts_of_a_text_are_put_together_as_its_language_does() -> None:
    task = find_application("translate")

    def read(given: object) -> str:
        return str(task.example({"source": given, "target": "x"}).source)

    assert read(["Hallo", None, " Welt "]) == "Hallo Welt"
    assert read(["你好，", "世界。"]) == "你好，世界。"
    with pytest.raises(DataError, match="nothing to read"):
        read(["", None])
    assert find_application("write").example({"text": ["one", None, "two"]}).text == "one\n\ntwo"


@pytest.mark.parametrize("name", ["classify", "answer", "translate", "write"])
def test_text_with_half_a_character_is_learned_and_answered(
    make: Make, tmp_path: Path, name: str
) -> None:
    half = " so \ud83d"
    rows: dict[str, list[Any]] = {
        "classify": [{"text": f"{row['text']}{half}", "label": row["label"]} for row in reviews()],
        "answer": [{"question": f"who {n}{half}?", "passage": f"It was p{n}.", "answers": [f"p{n}"]}
                   for n in range(20)],
        "translate": [{"source": f"eins {n}{half}", "target": f"one {n}{half}"} for n in range(20)],
        "write": [{"text": f"a tale of {n}, and of {n % 3}{half}"} for n in range(20)],
    }  # fmt: skip
    path = tmp_path / "half.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
    methods = {"answer": "nearest", "translate": "memory"}
    options = {"width": "16", "layers": "1", "context": "32", "epochs": "0.1", "tries": "1"}
    out = tmp_path / "out"
    learn_application(
        Asked(name, path, out, method=methods.get(name), judge_baselines=False,
              options=options if name == "write" else {})
    )  # fmt: skip
    assert "\ufffd" in (out / "predictions.jsonl").read_text("utf-8")
    answer_file(out, path, {}, tmp_path / "said.jsonl")
    assert len((tmp_path / "said.jsonl").read_text("utf-8").splitlines()) == len(rows[name])


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("classify", {"text": "a", "label": "['joy', 'love']"}),
        ("classify", {"text": "a", "label": ' ["joy"]'}),
        ("classify", {"text": "a", "label": "[0, 1, 1]"}),
        ("pair", {"first": "a", "second": "b", "relation": "['same']"}),
        ("tag", {"tokens": "['Ann', 'runs']", "tags": "['B-PER', 'O']"}),
        ("tag", {"tokens": "['Ann' 'runs']", "tags": "[3 0]"}),
    ],
)
def test_the_text_of_a_list_is_told(task: str, row: dict[str, object]) -> None:
    """As pandas and numpy write lists into a table."""
    with pytest.raises(DataError, match="a list is written as a text"):
        find_application(task).example(row)


def test_marks_of_classes_are_not_learned_as_their_names() -> None:
    task = find_application("classify")
    for given in ([0, 1, 0], [1.0, 0.0, 0.0, 1.0]):
        with pytest.raises(DataError, match="names of classes that are right"):
            task.example({"text": "a", "label": given})
    for label in ("[UNK]", "[1]", "a [b]", "['a' or b"):
        assert task.example({"text": "a", "label": label}).labels == (label,)
    assert task.example({"text": "a", "label": [0, 1]}).labels == ("0", "1")
    assert task.example({"text": "a", "label": [0, 1, 2]}).labels == ("0", "1", "2")
