"""What a folder of a learned task is begun with, keeps, leaves behind and says of itself."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from task_files import Make, pairs, reviews, tagged  # type: ignore[import-not-found]

from homespun.core import CheckpointError, ConfigError, DataError, RunError
from homespun.recipes.applications import (
    Also,
    Asked,
    answer_file,
    answered,
    learn_application,
    learning,
    open_application,
)

KEPT = "are kept as they are in `model/{}`"


def learn(task: str, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return learn_application(Asked(task, data, out, judge_baselines=False, **more))


def test_rows_to_learn_from_do_not_come_from_standard_input(make: Make, tmp_path: Path) -> None:
    """A call that goes on reads them again, and standard input is over by then."""
    data, out, stdin = make("r.jsonl", reviews()), tmp_path / "out", Path("-")
    for asked in (
        Asked("classify", stdin, out),
        Asked("classify", data, out, test=stdin),
        Asked("classify", data, out, also=[Also("classify", stdin)]),
        Asked("classify", data, out, also=[Also("classify", data, stdin)]),
    ):
        with pytest.raises(DataError, match=r"standard input cannot be .*; write it into a file"):
            learn_application(asked)
    assert not out.exists()


def test_a_folder_that_was_empty_is_empty_again_where_nothing_could_be_begun(
    make: Make, tmp_path: Path
) -> None:
    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    out.mkdir()
    with pytest.raises(ConfigError, match="epochs must be a number"):
        learn("classify", data, out, method="cnn", options={"epochs": "many"})
    assert list(out.iterdir()) == []
    # So the corrected call is not taken for another one.
    assert learn("classify", data, out)["method"] == "linear"


def test_a_method_that_there_is_not_is_told(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    learn("classify", make("r.jsonl", reviews()), out)
    record = json.loads((out / "application.json").read_text("utf-8"))
    (out / "application.json").write_text(json.dumps({**record, "method": "oracle"}))
    with pytest.raises(DataError, match=r"names a method that classify does not have \(got oracle"):
        open_application(out)


@pytest.mark.parametrize("method", ["cnn", "encoder"])
def test_states_of_an_optimiser_do_not_stay_where_a_process_was_killed_late(
    make: Make, tmp_path: Path, method: str
) -> None:
    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    options = {"epochs": "1"}
    learn("classify", data, out, method=method, options=options)
    left = out / "model" / "training" / "checkpoints" / "step-1" / "state.safetensors"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"much")  # as after a kill between keeping weights and this
    learn("classify", data, out, method=method, options=options)
    assert not left.exists()


def test_the_card_says_where_rows_are_kept_whatever_the_method(make: Make, tmp_path: Path) -> None:
    rows = [
        {"question": f"who {n}?", "passage": f"It was p{n}.", "answers": [f"p{n}"]}
        for n in range(20)
    ]
    learn("translate", make("p.jsonl", pairs()), tmp_path / "a", method="memory")
    learn("answer", make("q.jsonl", rows), tmp_path / "b", method="nearest")
    learn("answer", make("q.jsonl", rows), tmp_path / "c", method="overlap")
    cards = [(tmp_path / name / "README.md").read_text("utf-8") for name in "abc"]
    assert KEPT.format("memory.jsonl") in cards[0]
    assert KEPT.format("answers.jsonl") in cards[1]
    assert "are kept as they are" not in cards[2]


@pytest.mark.parametrize(
    ("name", "typed"),
    [("out", "out"), ("my film's", """'my film'"'"'s'"""), ("影评", "影评"), ("a;b", "'a;b'")],
)
def test_the_card_s_command_is_as_a_shell_wants_it(
    make: Make, tmp_path: Path, name: str, typed: str
) -> None:
    learn("classify", make("r.jsonl", reviews()), tmp_path / name, method="majority")
    card = (tmp_path / name / "README.md").read_text("utf-8")
    assert f"`homespun apply classify {typed} FILE`" in card
    with pytest.raises(ConfigError, match="another task") as told:
        open_application(tmp_path / name, task="tag")
    quoted = shlex.quote(str(tmp_path / name)) if typed != name else str(tmp_path / name)
    assert f"`homespun apply classify {quoted}`" in str(told.value)


@pytest.mark.parametrize("task", ["classify", "embed"])
def test_the_file_that_is_answered_is_not_written_over(
    make: Make, tmp_path: Path, task: str
) -> None:
    rows = [{"first": row["text"], "second": f"{n} {row['text']}", **row}
            for n, row in enumerate(reviews())]  # fmt: skip
    data, out = make("r.jsonl", rows), tmp_path / "out"
    columns = {"text": "text"} if task == "classify" else {"first": "first"}
    method = "linear" if task == "classify" else "overlap"
    learn(task, data, out, method=method)
    before = data.read_bytes()
    link = tmp_path / "link.jsonl"
    link.symlink_to(data)
    for said in (data, link):
        with pytest.raises(RunError, match="is the file that is read; name another --out"):
            answer_file(out, data, columns, said)
    assert data.read_bytes() == before


def test_a_file_that_has_changed_is_called_by_its_name(make: Make, tmp_path: Path) -> None:
    data, test, out = make("r.jsonl", reviews()), make("t.jsonl", reviews()), tmp_path / "out"
    learn("classify", data, out, test=test)
    for path in (test, data):
        make(path.name, reviews()[1:])
        with pytest.raises(RunError, match=f"{path.name} has changed since .*out was begun; name"):
            learn("classify", data, out, test=test)


def test_of_two_that_begin_a_folder_at_the_same_moment_the_first_has_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out, lock = make("r.jsonl", reviews()), tmp_path / "out", learning.locked_folder

    def after_another(folder: Path, *, remedy: str) -> AbstractContextManager[None]:
        monkeypatch.setattr(learning, "locked_folder", lock)
        learn("classify", data, out, seed=1)
        return lock(folder, remedy=remedy)

    monkeypatch.setattr(learning, "locked_folder", after_another)
    with pytest.raises(RunError, match="was begun with seed = 1"):
        learn("classify", data, out, seed=0)
    assert json.loads((out / "application.json").read_text("utf-8"))["seed"] == 1
    assert (out / "results.json").is_file()


def test_a_record_that_another_process_is_writing_is_not_something_else(
    make: Make, tmp_path: Path
) -> None:
    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    out.mkdir()
    (out / ".application.json.4711.tmp").write_text("{")
    with (
        learning.locked_folder(out, remedy=""),
        pytest.raises(RunError, match=r"another process .* is working on"),
    ):
        learn("classify", data, out)
    # The other one was killed: what it left is no hindrance.
    assert learn("classify", data, out)["method"] == "linear"


def test_a_file_of_somebody_elses_named_lock_is_left_alone(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "lock").write_text("the key is under the mat")
    with pytest.raises(RunError, match="holds no learned task"):
        learn("classify", make("r.jsonl", reviews()), out)
    assert (out / "lock").read_text() == "the key is under the mat"


def test_questions_that_were_kept_and_damaged_are_told(make: Make, tmp_path: Path) -> None:
    rows = [
        {"question": f"who {n}?", "passage": f"It was p{n}.", "answers": [f"p{n}"]}
        for n in range(20)
    ]
    out = tmp_path / "out"
    learn("answer", make("q.jsonl", rows), out, method="nearest")
    for damaged in ('{"question": "who?"}\n', '["who?", "Ann"]\n'):
        (out / "model" / "answers.jsonl").write_text(damaged)
        with pytest.raises(DataError, match=r"answers\.jsonl is damaged"):
            open_application(out)


@pytest.mark.parametrize(
    ("task", "method", "file", "changes"),
    [
        ("pair", "overlap", "classic.json",
         [{"labels": None}, {"labels": [1, "x"]}, {"labels": ["x"]}]),
        ("tag", "rules", "scheme.json", [{"scheme": ...}, {"scheme": "x"}, {"scheme": ["bio"]}]),
        ("embed", "encoder", "encoder.json",
         [{"longest": "many"}, {"longest": 0}, {"longest": []}, {"pooling": "last"}]),
        ("classify", "linear", "classic.json", [{"vocabulary": 7}, {"settings": {"speed": 1}}]),
        ("tag", "hmm", "classic.json", [{"settings": {"max_suffix": "8"}}, {"words": [["a"]]}]),
        ("classify", "cnn", "cnn.json",
         [{"width": "x"}, {"width": 0}, {"vocabulary": [["a"]]}, {"labels": 3}, {"is_multi": ...}]),
    ],
)  # fmt: skip
def test_files_of_a_model_that_are_damaged_are_told(
    make: Make, tmp_path: Path, task: str, method: str, file: str, changes: list[dict[str, Any]]
) -> None:
    rows: dict[str, list[Any]] = {
        "pair": [{"first": f"a {n}", "second": f"b {n}", "relation": n % 2} for n in range(20)],
        "tag": tagged(),
        "embed": [{"first": f"a film {n}", "second": f"the film {n}"} for n in range(20)],
        "classify": reviews(),
    }
    out, options = tmp_path / "out", {"epochs": "0.1"} if method in ("cnn", "encoder") else {}
    learn(task, make("r.jsonl", rows[task]), out, method=method, options=options)
    path = out / "model" / file
    whole = json.loads(path.read_text("utf-8"))
    for change in changes:
        record = {name: value for name, value in {**whole, **change}.items() if value is not ...}
        path.write_text(json.dumps(record), "utf-8")
        with pytest.raises((DataError, CheckpointError)):
            open_application(out)
    path.write_text(json.dumps(whole), "utf-8")
    assert open_application(out)


def test_names_of_files_that_are_not_utf8_are_no_hindrance(make: Make, tmp_path: Path) -> None:
    """As archives of old Chinese systems leave them."""
    name = os.fsdecode("评论".encode("gb18030"))
    folder = tmp_path / name
    folder.mkdir()
    data, out = make("r.jsonl", reviews()).rename(folder / f"{name}.jsonl"), tmp_path / "out"
    for _ in range(2):  # and a second call is the same one
        told = learn_application(Asked("classify", data, out, test=data))
    assert told["test_from"].endswith("\\xc6\\xc0\\xc2\\xdb.jsonl")
    assert "\\xc6\\xc0\\xc2\\xdb.jsonl" in (out / "README.md").read_text("utf-8")
    assert next(answered(open_application(out), data, {}))["label"] == "good"
    learn("classify", data, tmp_path / "both", method="encoder", options={"epochs": "0.1"},
          also=[Also("classify", data, data)])  # fmt: skip
    beside = (tmp_path / "both" / "also-1-classify" / "README.md").read_text("utf-8")
    assert "Learned together with classify (\\xc6\\xc0\\xc2\\xdb.jsonl)" in beside
    # Weights could not be read back from there.
    with pytest.raises(RunError, match=r"is not UTF-8; name another --out"):
        learn("classify", data, folder / "out", method="cnn")
