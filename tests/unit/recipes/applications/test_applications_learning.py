"""Each task from a file to a judged folder and back: what is learned, written, and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conftest import Make, pairs, questions, reviews, tagged  # type: ignore[import-not-found]
from homespun.core import CheckpointError, ConfigError, DataError, RunError
from homespun.recipes.applications import (
    Asked,
    answered,
    application_names,
    find_application,
    learn_application,
    open_application,
)


def learn(task: str, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return learn_application(Asked(task, data, out, **more))


def values(told: Mapping[str, Any]) -> dict[str, float]:
    return {row["name"]: row["value"] for row in told["measures"]}


def test_every_task_says_what_it_wants_and_can_do() -> None:
    for name in application_names():
        task = find_application(name)
        assert task.name == name
        assert task.inputs
        assert task.gold or name == "embed"
        assert set(task.baselines) <= set(task.methods)
        for has_base in (False, True):
            assert task.default_method(has_base=has_base) in task.methods
        for method_name, make_method in task.methods.items():
            method = make_method()
            assert method.name == method_name
            assert method.summary
    with pytest.raises(ConfigError, match="did you mean 'classify'"):
        find_application("clasify")


@pytest.mark.parametrize("method", ["majority", "rules", "bayes", "linear", "cnn", "encoder"])
def test_classes_are_learned_judged_and_applied(make: Make, tmp_path: Path, method: str) -> None:
    data, out = make("reviews.jsonl", reviews()), tmp_path / "out"
    options = {"epochs": "30"} if method in ("cnn", "encoder") else {}
    told = learn("classify", data, out, method=method, judge_baselines=False, options=options)
    assert told["rows"] == {"train": 64, "dev": 8, "test": 8}
    least = 0.4 if method == "majority" else 0.85
    assert values(told)["accuracy"] >= min(least, 0.4 if method == "majority" else 1.0)
    assert told["confusion"]["labels"] in (["bad", "good"], ["bad"], ["good"])
    new = make("new.jsonl", [{"text": "a fine road"}, {"text": "an ugly dull idea"}])
    rows = list(answered(open_application(out, task="classify"), new, {}))
    assert [row["asked"] for row in rows] == ["a fine road", "an ugly dull idea"]
    if method != "majority":
        assert [row["plain"] for row in rows] == ["good", "bad"]
    assert json.loads((out / "results.json").read_text())["method"] == method
    lines = (out / "predictions.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 8
    assert set(json.loads(lines[0])) == {"row", "asked", "right", "answer", "value"}
    card = (out / "README.md").read_text("utf-8")
    assert "# classify: out" in card
    assert "95% interval" in card


def test_baselines_stand_beside_with_their_difference(make: Make, tmp_path: Path) -> None:
    told = learn("classify", make("r.jsonl", reviews()), tmp_path / "out")
    assert told["method"] == "linear"
    assert [entry["method"] for entry in told["baselines"]] == ["majority", "bayes"]
    majority = told["baselines"][0]
    difference = values(told)["accuracy"] - majority["measures"][0]["value"]
    assert majority["difference"]["value"] == pytest.approx(difference)
    assert majority["difference"]["low"] <= difference <= majority["difference"]["high"]
    assert not list((tmp_path / "out").glob("baseline-*"))


def test_several_labels_a_text(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"text": f"{a} {b} thing {n}", "labels": sorted({a, b} & {"red", "round"})}
        for a in ("red", "blue")
        for b in ("round", "flat")
        for n in range(8)
    ]
    told = learn("classify", make("m.jsonl", rows), tmp_path / "out", judge_baselines=False)
    assert set(values(told)) == {"samples F1", "micro F1", "macro F1"}
    assert values(told)["micro F1"] > 0.9
    out = answered(open_application(tmp_path / "out"), make("n.jsonl", [{"text": "red flat"}]), {})
    assert next(out)["plain"] == "red"


@pytest.mark.parametrize("method", ["rules", "hmm", "crf", "lstm", "encoder"])
def test_names_are_tagged_in_the_users_own_scheme(make: Make, tmp_path: Path, method: str) -> None:
    data, out = make("tags.jsonl", tagged()), tmp_path / "out"
    options = {"epochs": "40", "tokens": "128"} if method in ("lstm", "encoder") else {}
    told = learn("tag", data, out, method=method, judge_baselines=False, options=options)
    assert values(told)["micro F1"] > 0.9
    asked = make("ask.jsonl", [{"tokens": ["Eve", "Smith", "saw", "Rome", "today"]}])
    (row,) = answered(open_application(out), asked, {})
    assert row["tags"] == ["B-PER", "I-PER", "O", "B-LOC", "O"]


def test_parts_of_speech_are_counted_word_by_word(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"tokens": f"the {noun} {verb}", "tags": "DET NOUN VERB"}
        for noun in ("cat", "dog", "hen", "fox")
        for verb in ("runs", "sits", "eats", "sees")
    ]
    told = learn("tag", make("pos.jsonl", rows), tmp_path / "out")
    assert values(told) == {"token accuracy": 1.0}


def test_chinese_text_is_cut_into_words(make: Make, tmp_path: Path) -> None:
    who, what = ("我们", "他", "老师", "学生"), ("喜欢", "看", "买", "研究")
    rows: list[Mapping[str, Any]] = [
        {"text": f"{a}{b}{c}。", "words": f"{a} {b} {c} 。"}
        for a in who
        for b in what
        for c in ("电影", "书", "苹果")
    ]
    told = learn("segment", make("zh.jsonl", rows), tmp_path / "out", judge_baselines=False)
    assert values(told)["micro F1"] > 0.95
    asked = make("ask.jsonl", [{"text": "老师研究电影。"}])
    (row,) = answered(open_application(tmp_path / "out"), asked, {})
    assert row["plain"] == "老师 研究 电影 。"


def test_an_encoder_decoder_learns_to_translate(make: Make, tmp_path: Path) -> None:
    options = {
        "width": "32", "layers": "1", "epochs": "60", "dropout": "0", "tokens": "512",
        "smoothing": "0", "beams": "2", "pieces": "300", "context": "32",
    }  # fmt: skip
    out = tmp_path / "out"
    told = learn("translate", make("p.jsonl", pairs()), out, options=options)
    assert values(told)["BLEU"] > 60
    assert told["baselines"][0]["method"] == "memory"
    (row,) = answered(
        open_application(out), make("q.jsonl", [{"source": "two and two and one"}]), {}
    )
    assert row["target"].startswith("zwei und zwei")


def test_summaries_are_the_best_sentence(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {
            "text": f"Much was said of number {n}. We show that plan {n} is good. Some doubt it.",
            "summary": [f"We show that plan {n} is good", "something else"],
        }
        for n in range(30)
    ]
    told = learn("summarise", make("s.jsonl", rows), tmp_path / "out")
    assert values(told)["ROUGE-L"] > 0.95
    assert [entry["method"] for entry in told["baselines"]] == ["lead", "rank"]


def test_a_reader_answers_or_says_that_it_does_not_know(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    data, out = make("q.jsonl", questions()), tmp_path / "out"
    options = {"epochs": "60", "rate": "0.002", "tokens": "512", "window": "48"}
    told = learn("answer", data, out, base=tiny_bert, options=options, test=data)
    assert told["test_rows_seen_in_training"] == len(questions())
    assert values(told)["answer F1"] > 0.8
    assert told["extra"]["unanswerable refused"] >= 0.8
    asked = make(
        "a.jsonl",
        [
            {"question": "Who runs?", "passage": "Bob runs at noon. Cem sleeps."},
            {"question": "Who swims?", "passage": "Bob runs at noon. Cem sleeps."},
        ],
    )
    known, unknown = answered(open_application(out), asked, {})
    assert (known["answer"], known["start"], known["plain"]) == ("Bob", 0, "Bob")
    assert known["passage"].startswith("Bob runs")
    assert (unknown["answer"], unknown["plain"]) == (None, "I don't know")


def test_pairs_of_texts_by_what_they_share_and_as_numbers(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    things = ("film", "day", "book", "song", "room", "soup")
    texts = [f"a {word} {thing}" for word in ("warm", "cold", "dark") for thing in things]
    same: list[Mapping[str, Any]] = [
        {"first": text, "second": text if n % 2 else "no road", "label": n % 2}
        for n, text in enumerate(texts)
    ]
    told = learn("pair", make("p.jsonl", same), tmp_path / "a")
    assert (told["method"], values(told)["accuracy"]) == ("overlap", 1.0)
    numbers = [{**row, "label": float(row["label"]) + 0.5} for row in same]
    told = learn(
        "pair",
        make("n.jsonl", numbers),
        tmp_path / "b",
        base=tiny_bert,
        options={"epochs": "30", "rate": "0.001"},
    )
    assert told["measures"][0]["name"] == "Pearson correlation"
    assert -1 <= told["measures"][0]["value"] <= 1
    assert "Spearman correlation" in told["extra"]


def test_partners_are_found_by_vectors_that_search_can_use(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    rows: list[Mapping[str, Any]] = [
        {"first": f"{word} {thing}", "second": f"a {thing} so {word}"}
        for word in ("fine", "warm", "lovely", "bright", "dull", "cold", "ugly", "dark")
        for thing in ("film", "day", "book", "song", "room", "soup", "dog", "road")
    ]
    out = tmp_path / "out"
    options = {"epochs": "40", "rate": "0.001", "tokens": "512"}
    told = learn("embed", make("e.jsonl", rows), out, base=tiny_bert, options=options)
    assert [m["name"] for m in told["measures"]] == ["found first", "MRR", "found in ten"]
    assert values(told)["MRR"] > 0.5
    assert told["baselines"][0]["method"] == "overlap"
    from homespun.recipes.search import open_embedder

    vectors = open_embedder(out).embed(["warm day", "a day so warm", "a soup so ugly"])
    assert (vectors**2).sum(1) == pytest.approx(1.0, rel=1e-5)
    assert vectors[1] @ vectors[0] > vectors[2] @ vectors[0]
    learn("embed", make("e.jsonl", rows), tmp_path / "words", method="overlap")
    with pytest.raises(ConfigError, match="no vectors"):
        open_embedder(tmp_path / "words")


def test_the_same_seed_gives_the_same_numbers(make: Make, tmp_path: Path) -> None:
    data = make("r.jsonl", reviews())
    told = [
        learn(
            "classify", data, tmp_path / str(n), method="cnn", judge_baselines=False,
            options={"epochs": "3"},
        )
        for n in range(2)
    ]  # fmt: skip
    assert told[0]["measures"] == told[1]["measures"]
    one, two = (
        (tmp_path / str(n) / "model" / "weights.safetensors").read_bytes() for n in range(2)
    )
    assert one == two


def test_what_was_learned_is_not_learned_again(make: Make, tmp_path: Path) -> None:
    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    options = {"epochs": "3"}
    told = learn("classify", data, out, method="cnn", judge_baselines=False, options=options)
    before = (out / "model" / "weights.safetensors").stat().st_mtime_ns
    again = learn("classify", data, out, method="cnn", judge_baselines=False, options=options)
    assert (out / "model" / "weights.safetensors").stat().st_mtime_ns == before
    assert again["measures"] == told["measures"]
    with pytest.raises(RunError, match="seed"):
        learn("classify", data, out, method="cnn", seed=1, options=options)


def test_a_folder_that_is_something_else_is_left_alone(make: Make, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not empty"):
        learn("classify", make("r.jsonl", reviews()), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_wrong_input_is_told(make: Make, tmp_path: Path) -> None:
    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    with pytest.raises(ConfigError, match="did you mean 'linear'"):
        learn("classify", data, out, method="liner")
    with pytest.raises(ConfigError, match=r"no setting 'epoch'.*did you mean 'epochs'"):
        learn("classify", data, out, method="cnn", options={"epoch": "3"})
    with pytest.raises(ConfigError, match="epochs must be a number"):
        learn("classify", data, tmp_path / "e", method="cnn", options={"epochs": "many"})
    with pytest.raises(DataError, match="not the folder of an encoder"):
        learn("classify", data, out, base=tmp_path)
    one_class = make("o.jsonl", [{"text": f"text {n}", "label": "x"} for n in range(20)])
    with pytest.raises(DataError, match="two classes"):
        learn("classify", one_class, tmp_path / "f")
    short = make("s.jsonl", [{"tokens": ["a", "b"], "tags": ["X"]}] * 20)
    with pytest.raises(DataError, match=r"row 1 .* one tag for each word"):
        learn("tag", short, tmp_path / "g")
    elsewhere = make("q.jsonl", [{"question": "a?", "passage": "b", "answers": ["c"]}] * 20)
    with pytest.raises(DataError, match="no answer stands in the passage"):
        learn("answer", elsewhere, tmp_path / "h")
    assert not out.exists()


def test_folders_that_are_damaged_or_of_another_task_are_told(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    learn("classify", make("r.jsonl", reviews()), out, judge_baselines=False)
    with pytest.raises(ConfigError, match="homespun apply classify"):
        open_application(out, task="tag")
    with pytest.raises(DataError, match="no learned task"):
        open_application(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(out, broken)
    (broken / "model" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        open_application(broken)
