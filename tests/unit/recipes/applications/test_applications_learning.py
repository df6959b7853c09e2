"""Each task from a file to a judged folder and back: what is learned, written, and refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from task_files import Make, pairs, questions, reviews, tagged  # type: ignore[import-not-found]

from homespun.classic.tagging import convert_tags
from homespun.classic.tagging.spans import Scheme
from homespun.cli import main
from homespun.core import CheckpointError, ConfigError, DataError, RunError
from homespun.recipes.applications import (
    Also,
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
    options = {"epochs": "20"} if method in ("cnn", "encoder") else {}
    told = learn("classify", data, out, method=method, judge_baselines=False, options=options)
    assert told["rows"] == {"train": 64, "dev": 8, "test": 8}
    assert values(told)["accuracy"] >= (0.4 if method == "majority" else 0.85)
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
    options = {"epochs": "20", "tokens": "128"} if method in ("lstm", "encoder") else {}
    told = learn("tag", data, out, method=method, judge_baselines=False, options=options)
    assert values(told)["micro F1"] > 0.9
    asked = make("ask.jsonl", [{"tokens": ["Eve", "Smith", "saw", "Rome", "today"]}])
    (row,) = answered(open_application(out), asked, {})
    assert row["tags"] == ["B-PER", "I-PER", "O", "B-LOC", "O"]


@pytest.mark.parametrize(
    ("scheme", "wanted"),
    [
        ("bioes", ["B-PER", "E-PER", "O", "S-LOC", "O"]),
        ("bilou", ["B-PER", "L-PER", "O", "U-LOC", "O"]),
    ],
)
def test_names_in_schemes_with_ends_are_counted_as_names(
    make: Make, tmp_path: Path, scheme: Scheme, wanted: list[str]
) -> None:
    rows = [{**row, "tags": convert_tags(row["tags"], scheme)} for row in tagged()]
    out = tmp_path / "out"
    told = learn("tag", make("tags.jsonl", rows), out, judge_baselines=False)
    assert values(told)["micro F1"] > 0.9
    asked = make("ask.jsonl", [{"tokens": ["Eve", "Smith", "saw", "Rome", "today"]}])
    (row,) = answered(open_application(out), asked, {})
    assert row["tags"] == wanted


@pytest.mark.parametrize(("cell", "kind"), [("gru", "GRU"), ("rnn", "RNN"), ("lstm", "LSTM")])
def test_taggers_have_the_cell_that_is_asked_for(
    make: Make, tmp_path: Path, cell: str, kind: str
) -> None:
    out = tmp_path / "out"
    options = {"epochs": "1", "cell": cell, "width": "32"}
    data = make("tags.jsonl", tagged())
    learn("tag", data, out, method="lstm", judge_baselines=False, options=options)
    layers = open_application(out).learned.model.encoder.layers
    assert {type(layer).__name__ for layer in layers} == {kind}
    with pytest.raises(ConfigError, match="cell must be lstm or gru or rnn"):
        learn("tag", data, tmp_path / "x", method="lstm", options={"cell": "lstn"})


def test_parts_of_speech_are_counted_word_by_word(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"tokens": f"the {noun} {verb}", "tags": "DET NOUN VERB"}
        for noun in ("cat", "dog", "hen", "fox")
        for verb in ("runs", "sits", "eats", "sees")
    ]
    told = learn("tag", make("pos.jsonl", rows), tmp_path / "out")
    assert values(told) == {"token accuracy": 1.0}
    # Two rows are too few for an interval, or to be surely better than anything.
    assert all(entry["difference"]["p"] is None for entry in told["baselines"])
    assert "not surely better" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_words_and_tags_may_be_parted_by_spaces(make: Make, tmp_path: Path) -> None:
    task = find_application("tag")
    found = task.example({"tokens": "The U.S. economy", "tags": "D N N"})
    assert found.tokens == ("The", "U.S.", "economy")
    assert task.example({"tokens": "我 爱 北京", "tags": "r v ns"}).tokens == ("我", "爱", "北京")
    assert task.example({"tokens": "我爱北京"}).tokens == tuple("我爱北京")
    for wrong in (5, None):
        with pytest.raises(DataError, match="tags are"):
            task.example({"tokens": "a b", "tags": wrong})


def test_bare_marks_are_spans_and_right_sentences_no_mistakes(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"tokens": ["we", verb, a, b], "tags": ["O", "O", "B", "I"]}
        for verb in ("saw", "like", "know") for a in ("New", "Old") for b in ("York", "Town")
    ] + [{"tokens": [w, "and", w, "so"], "tags": ["O"] * 4} for w in "abcdefghijkl"]  # fmt: skip
    told = learn("tag", make("b.jsonl", rows), tmp_path / "out", test=make("t.jsonl", rows))
    assert values(told)["micro F1"] == 1.0
    assert told["errors"] == []
    assert len(told["baselines"]) == 2  # whatever types a baseline finds


def test_a_sentence_cut_inside_a_name_asks_for_none_of_it(tmp_path: Path) -> None:
    from homespun.recipes.applications.neural import fresh_base
    from homespun.recipes.applications.tag import Sentence
    from homespun.recipes.applications.tag.neural import LearnedNeuralTagger

    words = [f"w{n}" for n in range(30)]
    base = fresh_base([" ".join(words)] * 3, seed=0, width=16, num_layers=1, context=20)
    record = {"tags": ["B-X", "E-X", "I-X", "O"], "scheme": "bioes", "crf": True}
    learned = LearnedNeuralTagger.new(base, record)
    tags = ("O",) * 4 + ("B-X",) + ("I-X",) * 24 + ("E-X",)
    (example,) = learned.examples([Sentence(tuple(words), tags, is_spans=True)])
    asked = [target for target in example.target if target != -100]
    assert asked == [3] * 4
    from homespun.training import TagObjective, example_batch

    loss = TagObjective().loss(learned.model, example_batch([example], per_token=True)).loss_sum
    assert loss.item() >= 0


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
        "width": "32", "layers": "1", "epochs": "40", "dropout": "0", "tokens": "512",
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


@pytest.mark.parametrize(
    ("positions", "more"),
    [
        ("sinusoidal", {"norm": "layer", "norm_first": "no", "activation": "relu"}),
        ("learned", {"norm": "layer", "activation": "gelu"}),
        ("relative", {}),
        ("rotary", {"norm_first": "no"}),
    ],
)
def test_an_encoder_decoder_has_the_parts_that_are_asked_for(
    make: Make, tmp_path: Path, positions: str, more: dict[str, str]
) -> None:
    options = {
        "width": "32", "layers": "1", "epochs": "15", "dropout": "0", "tokens": "512",
        "smoothing": "0", "beams": "1", "pieces": "300", "context": "32", "rate": "0.01",
        "positions": positions, **more,
    }  # fmt: skip
    out = tmp_path / "out"
    data = make("p.jsonl", pairs())
    told = learn("translate", data, out, options=options, judge_baselines=False)
    assert values(told)["chrF2"] > 10  # untaught: under 3
    shape = json.loads((out / "model" / "transformer.json").read_text())["model"]
    assert shape["positions"] == positions
    assert shape["norm"] == more.get("norm", "rms")
    assert shape["norm_first"] == (more.get("norm_first") != "no")
    assert shape["bias"] == ("norm" in more)
    assert shape["scaled"] == ("embedding" if positions in ("sinusoidal", "learned") else "none")
    with pytest.raises(ConfigError, match="positions must be rotary or sinusoidal"):
        learn("translate", data, tmp_path / "x", options={"positions": "fixed"})


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
    pearson = told["measures"][0]
    assert pearson["value"] > 0.9
    assert "Spearman correlation" in told["extra"]


def test_several_tasks_are_learned_by_one_encoder(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    data, names = make("reviews.jsonl", reviews()), make("names.jsonl", tagged())
    out = tmp_path / "out"
    asked = Asked(
        "classify",
        data,
        out,
        base=tiny_bert,
        options={"epochs": "16", "rate": "0.002", "tokens": "256"},
        also=[Also("tag", names)],
    )
    told = learn_application(asked)
    assert told["method"] == "encoder"
    assert told["together"] == ["also-1-tag"]
    assert values(told)["accuracy"] >= 0.8
    assert told["baselines"][0]["method"] == "encoder alone"
    beside = json.loads((out / "also-1-tag" / "results.json").read_text("utf-8"))
    assert beside["together"] == ["out"]
    assert {row["name"]: row["value"] for row in beside["measures"]}["micro F1"] > 0.8
    assert "together with classify" in (out / "also-1-tag" / "README.md").read_text("utf-8")
    new = make("new.jsonl", [{"text": "a fine road"}, {"text": "an ugly dull idea"}])
    assert [row["plain"] for row in answered(open_application(out), new, {})] == ["good", "bad"]
    words = make("ask.jsonl", [{"tokens": ["Eve", "Smith", "saw", "Rome", "today"]}])
    (row,) = answered(open_application(out / "also-1-tag", task="tag"), words, {})
    assert row["tags"] == ["B-PER", "I-PER", "O", "B-LOC", "O"]
    # Called again it trains no more, and comes to the same.
    weights = (out / "also-1-tag" / "model" / "weights.safetensors").read_bytes()
    again = learn_application(asked)
    assert again["measures"] == told["measures"]
    assert (out / "also-1-tag" / "model" / "weights.safetensors").read_bytes() == weights
    with pytest.raises(RunError, match="was begun with also"):
        learn_application(asked._replace(also=[]))


def test_what_cannot_be_learned_together_is_refused(make: Make, tmp_path: Path) -> None:
    data, out = make("reviews.jsonl", reviews()), tmp_path / "out"
    with pytest.raises(ConfigError, match="translate has no method 'encoder'"):
        learn("classify", data, out, also=[Also("translate", make("p.jsonl", pairs()))])
    with pytest.raises(ConfigError, match="by 'linear' cannot be learned together"):
        learn("classify", data, out, method="linear", also=[Also("classify", data)])
    with pytest.raises(DataError, match="no-such"):
        learn("classify", data, out, also=[Also("classify", tmp_path / "no-such.csv")])
    assert not out.exists()


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


def test_numbers_are_told_from_classes_by_all_rows_together() -> None:
    task = find_application("pair")

    def kinds(*relations: object) -> list[object]:
        found = [task.example({"first": "a", "second": "b", "relation": r}) for r in relations]
        return [example.relation for example in task.settle(found)]

    assert kinds("0", "1", "2") == ["0", "1", "2"]
    assert kinds(1.0, 2.0) == ["1", "2"]
    assert kinds("0", "2.5") == [0.0, 2.5]
    assert kinds(*range(7)) == [float(n) for n in range(7)]
    assert kinds("yes", "1.5") == ["yes", "1.5"]
    assert kinds("nan", "same") == ["nan", "same"]
    with pytest.raises(DataError, match="which are numbers, are none"):
        kinds("nan", "1.5")


def test_where_every_question_has_its_answer_some_are_asked_elsewhere() -> None:
    from homespun.recipes.applications.answer.encoder import unanswerable
    from homespun.recipes.applications.answer.task import Question

    asked = [Question(f"who {n}?", f"It was p{n} there.", (f"p{n}",)) for n in range(20)]
    made = unanswerable(asked, share=0.5, seed=0)
    assert len(made) == 10
    assert made == unanswerable(asked, share=0.5, seed=0)
    passages = {question.question: question.passage for question in asked}
    for question in made:
        assert question.answers == ()
        assert question.passage != passages[question.question]
    same = [Question("a?", "one", ("one",)), Question("b?", "one", ("one",))]
    assert unanswerable(same, share=1.0, seed=0) == []


def test_text_that_somebody_parted_is_left_parted() -> None:
    task = find_application("tag")

    def words(given: str) -> tuple[str, ...]:
        return task.example({"tokens": given}).tokens

    assert words("我们 喜欢 北京") == ("我们", "喜欢", "北京")
    assert words("我爱北京") == ("我", "爱", "北", "京")
    assert words("The U.S. economy , they say .") == (
        "The", "U.S.", "economy", ",", "they", "say", ".",
    )  # fmt: skip
    assert words("They don't know.") == ("They", "don't", "know", ".")


def test_what_a_method_does_not_take_is_refused(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    data, out = make("reviews.jsonl", reviews()), tmp_path / "out"
    with pytest.raises(ConfigError, match=r"'linear' begins with nothing.*--method encoder"):
        learn("classify", data, out, method="linear", base=tiny_bert)
    with pytest.raises(ConfigError, match="takes as long as it takes"):
        learn("classify", data, out, method="linear", seconds=60.0)
    assert not out.exists()


def test_thresholds_are_the_best_of_all(make: Make) -> None:
    import numpy as np

    from homespun.recipes.applications.answer.several import best_threshold

    draw = np.random.default_rng(0)
    for _ in range(40):
        scores = draw.integers(-3, 4, 12).astype(float).tolist()
        answered, refused = draw.random(12).tolist(), draw.integers(0, 2, 12).astype(float).tolist()

        def worth(threshold: float) -> float:
            return sum(
                a if s > threshold else r
                for s, a, r in zip(scores, answered, refused, strict=True)  # noqa: B023
            )

        best = max(worth(t) for t in [-1e9, *scores])
        assert worth(best_threshold(scores, answered, refused)) == pytest.approx(best)


def test_answers_stand_where_the_file_says() -> None:
    task = find_application("answer")
    for told in (
        {"text": ["it"], "answer_start": [10]},
        [{"text": "it", "answer_start": 10}, {"text": "so", "answer_start": 7}],
    ):
        found = task.example({"question": "q", "passage": "it was so it was", "answers": told})
        assert (found.answers[0], found.start) == ("it", 10)
    assert found.answers == ("it", "so")
    for nothing in ("", "[]", [], None, {"text": [], "answer_start": []}):
        empty = task.example({"question": "q", "passage": "p", "answers": nothing})
        assert empty.answers == ()


def test_pairs_that_share_a_text_are_not_told_apart() -> None:
    from homespun.training.data.twins import twin_batch

    batch = twin_batch([([1], [9, 9]), ([2], [9, 9]), ([1], [7])])
    assert batch.same_BB.tolist() == [
        [False, True, True], [True, False, False], [True, False, False],
    ]  # fmt: skip


def test_rows_that_say_nothing_are_answered_with_nothing(make: Make, tmp_path: Path) -> None:
    learn("classify", make("r.jsonl", reviews()), tmp_path / "out", judge_baselines=False)
    asked = make("a.jsonl", [{"text": "a fine dog"}, {"text": " "}, {"text": "an ugly dog"}])
    rows = list(answered(open_application(tmp_path / "out"), asked, {}))
    assert [(row["row"], row["plain"]) for row in rows] == [(1, "good"), (2, ""), (3, "bad")]
    with pytest.raises(DataError, match="no column for the text"):
        list(answered(open_application(tmp_path / "out"), make("b.jsonl", [{"b": 1}]), {}))


def test_a_killed_task_goes_on_and_comes_to_the_same(make: Make, tmp_path: Path) -> None:
    data = make("r.jsonl", reviews())
    asked = ["finetune", "classify", str(data), "--method", "cnn", "--set", "epochs=40",
             "--no-baselines", "--out"]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code = "import sys, homespun.cli as c; sys.exit(c.main())"
    assert main([*asked, str(whole)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-c", code, *asked, str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = killed / "model" / "training" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.is_file() and metrics.read_text().count("\n") > 10:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "results.json").exists()
    assert main([*asked, str(killed)]) == 0
    one, two = (f / "model" / "weights.safetensors" for f in (whole, killed))
    assert one.read_bytes() == two.read_bytes()


def test_a_folder_that_another_process_holds_is_left_alone(make: Make, tmp_path: Path) -> None:
    from homespun.core.runs import locked_folder

    data, out = make("r.jsonl", reviews()), tmp_path / "out"
    learn("classify", data, out, judge_baselines=False)
    with locked_folder(out, remedy=""), pytest.raises(RunError, match="is working on"):
        learn("classify", data, out, judge_baselines=False)


def test_the_help_names_the_methods_there_are() -> None:
    from homespun.cli.commands.tasks.learn import METHODS, SUMMARIES

    assert list(METHODS) == list(SUMMARIES)
    assert set(METHODS) == set(application_names())
    for name, methods in METHODS.items():
        assert set(methods.split(", ")) == set(find_application(name).methods), name


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
    with pytest.raises(DataError, match="not the folder of a pretrained encoder"):
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
    # What could not be begun leaves nothing behind, and the corrected call is not refused.
    assert not (tmp_path / "e").exists()
    assert not (tmp_path / "f").exists()
    learn("classify", data, tmp_path / "e", method="cnn", options={"epochs": "1"})
    pairs_file = make("p.jsonl", pairs())
    with pytest.raises(ConfigError, match="the settings"):
        learn("translate", pairs_file, tmp_path / "t", options={"width": "99"})
    with pytest.raises(ConfigError, match="copying must be yes or no"):
        learn("translate", pairs_file, tmp_path / "t", options={"copying": "perhaps"})
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
