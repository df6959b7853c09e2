"""What is told of a learned task: mistakes, counts of rows, what was cut, what was chosen by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from task_files import Make, pairs, questions, reviews, tagged  # type: ignore[import-not-found]

from homespun.cli import main
from homespun.core import ConfigError, DataError, RunError, SamplingSettings
from homespun.inference.request import Request
from homespun.inference.search.writing import longest_written
from homespun.recipes.applications import (
    Also,
    Asked,
    answer_file,
    answered,
    find_application,
    learn_application,
    open_application,
)
from homespun.recipes.applications.answer import Found, Question
from homespun.recipes.applications.judging import redrawn
from homespun.recipes.applications.results import mistakes, predictions, results
from homespun.recipes.applications.translate.task import Pair, are_tokenised
from homespun.recipes.applications.translate.writer import load_writer


def learn(task: str, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return learn_application(Asked(task, data, out, **more))


def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_short_translation_that_is_right_is_no_mistake() -> None:
    task = find_application("translate")
    rows = [("Hallo.", "Hi there."), ("Nein.", "No."), ("Ja, das ist gut.", "Yes, that is good.")]
    examples = [task.example({"source": a, "target": b}) for a, b in rows]
    answers = ["Hi there.", "Now zebras", "Yes, that is fine."]
    told = predictions(task, examples, answers, task.measure(examples, answers, draw()))
    assert [row["row"] for row in mistakes(told)] == [2, 3]
    assert told[0]["value"] == 1.0
    assert 0 < told[1]["value"] < told[2]["value"] < 1
    chinese = [task.example({"source": "no", "target": "不"})]
    assert task.measure(chinese, ["不"], draw()).per_row == [1.0]


def right_answers() -> tuple[Any, list[Any], list[Found]]:
    """The task, thirty questions of ten passages, and the answers to them."""
    task = find_application("answer")
    rows = [
        {"question": f"who {n}?", "passage": f"It was p{n // 3}.", "answers": [f"p{n // 3}"]}
        for n in range(30)
    ]
    examples = [task.example(row) for row in rows]
    return task, examples, [Found(example.answers[0], 7, 1.0) for example in examples]


def test_rows_of_answers_are_questions_and_not_passages() -> None:
    task, examples, answers = right_answers()
    measured = redrawn(task, examples, task.measure(examples, answers, draw()))
    told = results(task, "x", measured, draw(), facts={})
    assert [entry["num"] for entry in told["measures"]] == [30, 30]
    assert "redrawn:10 passages" in told["measures"][0]["signature"]
    # Ten passages are enough for an interval; seven are not, however many questions they have.
    assert told["measures"][0]["low"] is not None
    few = redrawn(task, examples[:21], task.measure(examples[:21], answers[:21], draw()))
    assert results(task, "x", few, draw(), facts={})["measures"][0]["low"] is None


def test_a_few_rows_that_are_all_right_are_no_certainty(make: Make, tmp_path: Path) -> None:
    from homespun.cli.commands.tasks.learn import interval

    rows = [{"text": f"{w} {n}", "label": w} for w in ("good", "bad") for n in range(50)]
    out = tmp_path / "out"
    told = learn("classify", make("r.jsonl", rows), out)
    exact, macro, _ = told["measures"]
    assert (exact["value"], exact["num"]) == (1.0, 10)
    assert (exact["low"], exact["high"]) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert interval(exact) == "0.7225 to 1"
    # No bound is known of macro F1, so none is given.
    assert (macro["value"], macro["low"], macro["high"]) == (1.0, None, None)
    card, page = ((out / name).read_text("utf-8") for name in ("README.md", "report.html"))
    assert "0.7225 to 1" in card
    assert "0.722 to 1" in page
    assert "1 to 1" not in card
    assert "1.0 to 1.0" not in page
    (equal,) = [e["difference"] for e in told["baselines"] if e["method"] == "bayes"]
    assert equal["value"] == 0.0
    assert (equal["low"], equal["high"]) == pytest.approx((-0.2775, 0.2775), abs=1e-4)


def test_passages_that_are_all_right_are_no_certainty() -> None:
    task, examples, answers = right_answers()
    measured = redrawn(task, examples, task.measure(examples, answers, draw()))
    told = results(task, "x", measured, draw(), facts={})
    for entry in told["measures"]:  # as sure as of ten, not of thirty
        assert (entry["low"], entry["high"]) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_measures_of_one_name_are_told_apart() -> None:
    from homespun.cli.commands.tasks.learn import names_of

    task = find_application("translate")
    examples = [task.example({"source": "a", "target": "A good day."})]
    told = results(task, "x", task.measure(examples, ["a good day."], draw()), draw(), facts={})
    assert names_of(told["measures"]) == ["BLEU (case:mixed)", "chrF2", "BLEU (case:lc)"]


def test_a_difference_of_few_rows_has_no_empty_brackets(make: Make, tmp_path: Path) -> None:
    from homespun.cli.commands.tasks.learn import around

    out = tmp_path / "out"
    told = learn("summarise", make("s.jsonl", texts()), out, method="lead")
    (difference,) = [entry["difference"] for entry in told["baselines"]]
    assert difference["low"] is None
    assert around(difference) == ""
    assert around({"low": 0.25, "high": 0.5}) == " (0.25 to 0.5)"
    assert "()" not in (out / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("texts", "said", "measured"),
    [
        (
            ["A man runs, fast.", "Two dogs play in the snow."],
            ["`nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`", "`case:lc|tok:13a`"],
            [("case:mixed", "tok:13a"), ("case:lc", "tok:13a")],
        ),
        (
            ["a man runs , fast .", "two dogs play in the snow ."],
            ["tok:13a", "`case:lc|tok:none`, the tokens of the texts as they are"],
            [("case:mixed", "tok:13a"), ("case:lc", "tok:none")],
        ),
        (["一个人跑得很快。", "两只狗在雪地里玩。"], ["tok:zh"], [("case:mixed", "tok:zh")]),
    ],
)
def test_bleu_is_told_with_its_signature_and_as_published_figures_are(
    make: Make, tmp_path: Path, texts: list[str], said: list[str], measured: list[tuple[str, str]]
) -> None:
    rows = [{"source": f"{n} {texts[n % 2]}", "target": texts[n % 2]} for n in range(30)]
    out = tmp_path / "out"
    told = learn("translate", make("p.jsonl", rows), out, method="memory")
    bleus = [entry for entry in told["measures"] if entry["name"] == "BLEU"]
    assert [e["value"] for e in bleus] == [pytest.approx(100.0)] * len(measured)
    for entry, parts in zip(bleus, measured, strict=True):
        assert set(parts) <= set(entry["signature"].split("|"))
    assert any("sacrebleu's" in note for note in told["notes"])
    card, page = ((out / name).read_text("utf-8") for name in ("README.md", "report.html"))
    for part in said:
        assert part in card
        assert part in re.sub("</?code>", "`", page)
    assert ("case:lc" in card) == (len(measured) > 1)


def test_tokenised_text_is_known_by_its_marks() -> None:
    assert are_tokenised(["a dog .", "is it ?", "A dog."])
    assert not are_tokenised(["A dog.", "Is it ?", "No!", "no mark"])
    assert not are_tokenised(["no mark", "."])
    assert not are_tokenised([])


def test_what_an_encoder_does_not_read_is_counted_and_told(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    long = " and more" * 100
    rows = [
        {**row, "text": str(row["text"]) + (long if n % 4 == 0 else "")}
        for n, row in enumerate(reviews())
    ]
    out = tmp_path / "out"
    options = {"epochs": "1"}
    data = make("r.jsonl", rows)
    told = learn("classify", data, out, base=tiny_bert, options=options, judge_baselines=False)
    cut = told["cut"]
    assert cut["most"] == "64 tokens of a text"
    held_out = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert cut["test"] == sum(long in row["asked"] for row in held_out)
    assert 0 < cut["train"] <= 20 - cut["test"]
    _, note = told["notes"]
    assert f"{cut['train']:,} of those it learned from" in note
    assert note in (out / "README.md").read_text("utf-8")
    asked = make("a.jsonl", [{"text": "a fine road"}, {"text": "a fine road" + long}])
    short, whole = answered(open_application(out), asked, {})
    assert "cut" not in short
    assert whole["cut"] is True


LONG_PAIRS: list[Mapping[str, Any]] = [
    {**row, "source": str(row["source"]) * (9 if n % 5 == 0 else 1)}
    for n, row in enumerate(pairs())
]


@pytest.mark.parametrize(
    ("task", "method", "rows", "most"),
    [
        ("classify", "cnn", [{**r, "text": f"{r['text']} " * 60} for r in reviews()], "256 words"),
        ("pair", "encoder", [{"first": "a film " * 40, "second": "a day", "relation": n % 2}
                             for n in range(20)], "64 tokens of both"),
        ("tag", "encoder", [{"tokens": [*r["tokens"]] * 20, "tags": [*r["tags"]] * 20}
                            for r in tagged()], "64 tokens of a sentence"),
        ("translate", "transformer", LONG_PAIRS, "31 tokens that are read or written"),
    ],
)  # fmt: skip
def test_every_network_that_cuts_says_so(
    make: Make,
    tmp_path: Path,
    tiny_bert: Path,
    task: str,
    method: str,
    rows: list[Mapping[str, Any]],
    most: str,
) -> None:
    options = {"epochs": "0.1"}
    if method == "transformer":
        options |= {"width": "32", "layers": "1", "pieces": "300", "context": "32", "beams": "1"}
    for_pair = [{**row, "first": f"{n} {row['first']}"} if "first" in row else row
                for n, row in enumerate(rows)]  # fmt: skip
    told = learn(
        task, make("d.jsonl", for_pair), tmp_path / "out", method=method, options=options,
        base=tiny_bert if method == "encoder" else None, judge_baselines=False,
    )  # fmt: skip
    assert most in told["cut"]["most"]
    assert told["cut"]["train"] > 0
    assert any("left out" in note for note in told["notes"])


def test_what_is_learned_can_be_written_and_what_cannot_is_counted(
    make: Make, tmp_path: Path
) -> None:
    """Targets six times as long as their sources, and one beyond all."""
    rows = [{"source": f"say {n}", "target": f"{n} and more" * 20} for n in range(40)]
    options = {"epochs": "0.1", "width": "32", "layers": "1", "pieces": "300", "context": "400",
               "beams": "1"}  # fmt: skip
    out = tmp_path / "out"
    told = learn("translate", make("d.jsonl", rows), out, method="transformer", options=options,
                 judge_baselines=False)  # fmt: skip
    assert told["cut"]["train"] == 0
    for writer in (open_application(out).learned, load_writer(out / "model")):
        pairs = [Pair(row["source"], (row["target"],)) for row in rows]
        # Of rows that were not learned from some want a little more room.
        assert sum(writer.are_cut(pairs)) <= 8
        assert writer.are_cut([Pair("say 3", ("3 and more" * 60,)), Pair("say " * 500)]) == [
            True,
            True,
        ]
        assert f"written at most {writer.habits.times:g} for each one read" in writer.most
        # Both ways of writing have as much room.
        (ids,) = writer._source.whole(["say 3"])
        engine = writer.engine()
        wish = SamplingSettings(beams=2, max_tokens=1000, temperature=0.0)
        engine.add_request(Request(ids, wish))
        way: Any = engine._waiting[-1].way
        assert way._search._most == longest_written(len(ids), 400, writer.habits.times)
        assert way._search._most > longest_written(len(ids), 400)
    # A few odd pairs do not let every text without an end fill the context.
    plain = [([1] * 10, [2] * 12)] * 2000
    for others, times in (
        ([([1], [2] * 500)], 0.0),
        ([([1] * 9, [2] * 61)] * 40, 5.1),
    ):
        writer.make_room([*plain, *others])
        assert writer.habits.times == times
    writer.make_room([])
    assert writer.habits.times == 0.0


def test_what_reads_everything_says_nothing_of_cuts(make: Make, tmp_path: Path) -> None:
    told = learn("classify", make("r.jsonl", reviews()), tmp_path / "out", judge_baselines=False)
    assert told["cut"] is None
    assert told["notes"] == []


@pytest.mark.parametrize(
    ("task", "method", "says"),
    [
        ("classify", "linear", "penalty was chosen by"),
        ("classify", "bayes", "learned from as well"),
        ("classify", "cnn", "the step was chosen whose weights are kept"),
        ("classify", "majority", "no use for"),
        ("tag", "crf", "learned from as well"),
        ("answer", "encoder", "how sure it must be"),
        ("translate", "t5", "the step was chosen whose weights are kept"),
    ],
)
def test_methods_say_what_they_do_with_held_out_rows(task: str, method: str, says: str) -> None:
    assert says in find_application(task).methods[method]().held_out


def test_the_card_and_the_page_say_what_was_chosen(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = {"epochs": "1"}
    learn("classify", make("r.jsonl", reviews()), out, method="cnn", options=options,
          judge_baselines=False)  # fmt: skip
    for name in ("README.md", "report.html"):
        text = (out / name).read_text("utf-8")
        assert "8 more whose loss was looked at on the way: too few to choose weights by" in text
        assert "choose by" not in text


def texts() -> list[Mapping[str, Any]]:
    return [
        {
            "text": f"Much was said of number {n}. We show that plan {n} is good. Some doubt it. "
            f"It costs {n} crowns.",
            "summary": f"We show that plan {n} is good. It costs {n} crowns.",
        }
        for n in range(30)
    ]


@pytest.mark.parametrize("method", ["extract", "lead", "rank"])
def test_summaries_have_as_many_sentences_as_asked(make: Make, tmp_path: Path, method: str) -> None:
    out = tmp_path / "out"
    told = learn("summarise", make("s.jsonl", texts()), out, method=method,
                 options={"sentences": "2"})  # fmt: skip
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert all(row["answer"]["summary"].count(".") == 2 for row in rows)
    (row,) = answered(open_application(out), make("a.jsonl", [texts()[3]]), {})
    assert row["summary"].count(".") == 2
    # Baselines write as many, else they could not be compared.
    one = learn("summarise", make("s.jsonl", texts()), tmp_path / "one", method=method)
    for with_two, with_one in zip(told["baselines"], one["baselines"], strict=True):
        assert with_two["measures"][0]["value"] != with_one["measures"][0]["value"]
    with pytest.raises(ConfigError, match="sentences must be a whole number"):
        learn("summarise", make("s.jsonl", texts()), tmp_path / "x", method=method,
              options={"sentences": "0"})  # fmt: skip


def test_chinese_extracts_of_several_parts_do_not_repeat_one(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {
            "text": f"本文研究方法{n}，提出新的模型，实验表明它很好。天气不错，人们出门。",
            "summary": f"提出新的模型，实验表明它很好，研究方法{n}",
        }
        for n in range(30)
    ]
    out = tmp_path / "out"
    learn("summarise", make("z.jsonl", rows), out, options={"sentences": "2"},
          judge_baselines=False)  # fmt: skip
    (row,) = answered(open_application(out), make("a.jsonl", [rows[0]]), {})
    parts = [part for part in row["summary"].split("。") if part]
    assert len(parts) == 2
    clauses = [clause for part in parts for clause in part.split("，")]
    assert len(clauses) == len(set(clauses))


def test_several_labels_stand_in_one_cell(make: Make, tmp_path: Path) -> None:
    lines = [
        f"{a} {b} thing {n}\t{'; '.join(sorted({a, b} & {'red', 'round'}))}"
        for a in ("red", "blue")
        for b in ("round", "flat")
        for n in range(8)
    ]
    data = tmp_path / "m.tsv"
    data.write_text("text\tlabels\n" + "\n".join(lines) + "\n")
    told = learn("classify", data, tmp_path / "out", several=";", judge_baselines=False)
    assert {row["name"] for row in told["measures"]} == {"samples F1", "micro F1", "macro F1"}
    assert {row["label"] for row in told["classes"]} == {"red", "round"}
    (row,) = answered(open_application(tmp_path / "out"), make("a.jsonl", [{"text": "red x"}]), {})
    assert row["labels"] == ["red"]
    with pytest.raises(RunError, match="was begun with several"):
        learn("classify", data, tmp_path / "out", several="|", judge_baselines=False)
    words = make("w.jsonl", tagged())
    with pytest.raises(ConfigError, match="one thing is right"):
        learn("tag", words, tmp_path / "x", several=";")


def test_several_answers_and_references_stand_in_one_cell(tmp_path: Path) -> None:
    from homespun.recipes.applications.reading import RowReader, read_examples

    path = tmp_path / "p.tsv"
    path.write_text("source\ttarget\nHallo\tHello | Hi\n")
    (pair,) = read_examples(find_application("translate"), path, RowReader({}, "|"))
    assert pair.targets == ("Hello", "Hi")
    path.write_text("q\tpassage\tanswers\nwho?\tAnn and Bob\tAnn|Bob\nwhy?\tAnn and Bob\t\n")
    names = {"question": "q"}
    both, none = read_examples(find_application("answer"), path, RowReader(names, "|"))
    assert (both.answers, none.answers) == (("Ann", "Bob"), ())


def test_tasks_learned_beside_have_their_own_columns_and_test(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    data = make("r.jsonl", reviews())
    other = make("o.jsonl", [{"said": row["text"], "mood": row["label"]} for row in reviews()])
    test = make("t.jsonl", [{"said": "a fine new road", "mood": "good"}])
    also = Also("classify", other, test, {"text": "said", "label": "mood"})
    options = {"epochs": "1"}
    learn("classify", data, tmp_path / "out", base=tiny_bert, options=options, also=[also],
          judge_baselines=False)  # fmt: skip
    told = json.loads((tmp_path / "out" / "also-1-classify" / "results.json").read_text())
    assert told["rows"] == {"train": 72, "dev": 8, "test": 1}
    assert told["test_from"] == str(test)
    with pytest.raises(RunError, match="was begun with also"):
        learn("classify", data, tmp_path / "out", base=tiny_bert, options=options,
              also=[also._replace(test=None)], judge_baselines=False)  # fmt: skip


def test_also_is_read_from_the_command_line() -> None:
    from homespun.cli.commands.tasks.learn import parse_also

    assert parse_also(["tag=a,b.jsonl", "pair=p.csv,test=q.csv,first=a,second=b"]) == [
        ("tag", Path("a,b.jsonl"), None, None, ""),
        ("pair", Path("p.csv"), Path("q.csv"), None, "first=a,second=b"),
    ]


def test_spaces_of_a_setting_are_kept() -> None:
    """What stands before every text a T5 reads ends with one."""
    from homespun.cli.commands.tasks.learn import parse_settings

    assert parse_settings(["prefix=to German: ", " rate =3"]) == {
        "prefix": "to German: ",
        "rate": "3",
    }
    with pytest.raises(typer.BadParameter, match="not valid UTF-8"):
        parse_settings(["prefix=\udcff: "])


def test_a_softmax_of_many_classes_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each of a thousand."""
    from homespun.recipes.applications.neural import scoring

    sums: list[float] = []

    def spied(parts: list[float]) -> float:
        sums.append(sum(parts))
        return sums[-1]

    monkeypatch.setattr(scoring, "sum", spied, raising=False)
    rows = [[float(n % 7 + (n == 5)) for n in range(1000)]] * 3
    found = scoring.likely_classes(rows, is_multi=False)
    assert len(sums) == 3
    assert [code for ((code, _),) in found] == [5, 5, 5]


def test_answers_are_written_as_they_come_and_gone_on_with(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import homespun.recipes.applications.applying as applying

    mine, out = tmp_path / "mine", tmp_path / "said.jsonl"
    learn("classify", make("r.jsonl", reviews()), mine, judge_baselines=False)
    rows = [{"text": f"a {'fine' if n % 2 else 'ugly'} road {n}"} for n in range(20)]
    new = make("new.jsonl", rows)
    whole = tmp_path / "whole.jsonl"
    assert answer_file(mine, new, {}, whole) == (20, 0, 0, 0)
    monkeypatch.setattr(applying, "_AT_ONCE", 4)
    real = applying.open_application

    class Dies:
        def __init__(self, learned: Any) -> None:
            self.learned, self.left = learned, 3

        def answer(self, examples: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return self.learned.answer(examples)

    def opened(*words: Any, **more: Any) -> Any:
        found = real(*words, **more)
        return found._replace(learned=Dies(found.learned))

    monkeypatch.setattr(applying, "open_application", opened)
    with pytest.raises(KeyboardInterrupt):
        answer_file(mine, new, {}, out)
    assert len(out.read_text().splitlines()) == 12
    with open(out, "a", encoding="utf-8") as file:
        file.write('{"row": 13, "as')  # what a crash leaves
    monkeypatch.setattr(applying, "open_application", real)
    assert answer_file(mine, new, {}, out) == (20, 0, 12, 0)
    assert out.read_text() == whole.read_text()
    # Rows that were added are answered, others and other models are not mixed in.
    with open(new, "a", encoding="utf-8") as file:
        file.write('{"text": "a dull day"}\n')
    assert answer_file(mine, new, {}, out) == (21, 0, 20, 0)
    learn("classify", make("r.jsonl", reviews()), tmp_path / "other", method="bayes",
          judge_baselines=False)  # fmt: skip
    with pytest.raises(RunError, match="begun otherwise"):
        answer_file(tmp_path / "other", new, {}, out)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not ours"):
        answer_file(mine, new, {}, tmp_path / "letter.txt")
    with pytest.raises(DataError, match="no file"):
        answer_file(mine, tmp_path / "none.csv", {}, tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="no column for the text"):
        answer_file(mine, make("b.jsonl", [{"b": 1}]), {}, tmp_path / "x.jsonl")
    assert list(tmp_path.glob("x.jsonl*")) == []


def test_spaces_of_a_text_that_is_cut_into_words_stay_borders(make: Make, tmp_path: Path) -> None:
    who, what = ("我们", "他", "老师", "学生"), ("喜欢", "看", "买", "研究")
    rows = [
        {"text": f"{a}{b}{c}。", "words": f"{a} {b} {c} 。"}
        for a in who for b in what for c in ("电影", "书", "苹果")
    ]  # fmt: skip
    learn("segment", make("zh.jsonl", rows), tmp_path / "out", judge_baselines=False)
    asked = make("a.jsonl", [{"text": "I use  北京 他看书。"}, {"text": "我们 喜欢书"}])
    one, two = answered(open_application(tmp_path / "out"), asked, {})
    assert one["asked"] == "I use 北京 他看书。"
    text, at = "Iuse北京他看书。", set()
    for word in one["words"]:
        assert text.startswith(word)
        text = text[len(word) :]
        at.add(len(text))
    assert text == ""
    assert {len("use北京他看书。"), len("北京他看书。"), len("他看书。")} <= at
    assert two["words"][0] == "我们"
    # Beside words, spaces give nothing away.
    task = find_application("segment")
    assert task.example({"text": "我们 喜欢 书", "words": "我们 喜欢书"}).breaks == ()
    assert task.example({"text": " 书 "}).breaks == ()


def test_a_fresh_encoder_for_tags_tells_capitals(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    learn("tag", make("t.jsonl", tagged()), out, method="encoder", options={"epochs": "0.1"},
          judge_baselines=False)  # fmt: skip
    from homespun.tokenizer.pieces import PieceTokenizer

    pieces = PieceTokenizer.load(out / "model")
    assert pieces.encode("Rome").ids != pieces.encode("rome").ids


def test_an_answer_that_the_passage_does_not_hold_is_not_cited(make: Make, tmp_path: Path) -> None:
    rows = [
        {"question": f"Who keeps the key of room {n}?", "passage": f"Room {n}: p{n} has it.",
         "answers": [f"p{n}"]}
        for n in range(20)
    ]  # fmt: skip
    out = tmp_path / "out"
    learn("answer", make("q.jsonl", rows), out, method="nearest", judge_baselines=False)
    known = next(answered(open_application(out), make("a.jsonl", rows), {}))["answer"]
    passages = ("Nobody has the key.", f"Ask {known}.")
    asked = make(
        "b.jsonl", [{"question": rows[0]["question"], "passage": text} for text in passages]
    )
    without, within = answered(open_application(out), asked, {})
    assert without["answer"] == within["answer"] == known
    assert "start" not in without
    assert "passage" not in without
    assert (within["start"], within["passage"]) == (4, f"Ask {known}.")


def test_a_readers_thresholds_are_kept_and_used_by_search(
    make: Make, tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from homespun.recipes.applications.answer import ReadsSeveral
    from homespun.recipes.search import answer_over, build_index

    rows = [
        {**row, "passage": f"{row['passage']} It was day {n} of it."}
        for n, row in enumerate(questions() * 3)
    ]
    out = tmp_path / "out"
    options = {"epochs": "1", "tokens": "512", "window": "48"}
    data = make("q.jsonl", rows)
    learn("answer", data, out, base=tiny_bert, options=options, judge_baselines=False)
    kept = json.loads((out / "model" / "threshold.json").read_text())
    assert set(kept["among"]) == {"1", "2", "3", "5", "8"}
    reader: Any = open_application(out).learned
    assert isinstance(reader, ReadsSeveral)
    assert reader.thresholds == {int(n): value for n, value in kept["among"].items()}
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("Ann", "Bob", "Cem"):
        (folder / f"{name}.txt").write_text(f"{name} sings at noon. Eve sleeps.")
    index = build_index(folder, tmp_path / "index")
    reader.thresholds = {3: -1e9}
    reply = answer_over(index, reader, "Who sings at noon, Bob?")
    assert reply.answer
    assert reply.passage is not None
    text = (folder / reply.passage.source).read_text()
    assert text[reply.start : reply.start + len(reply.answer)] == reply.answer
    reader.thresholds = {3: 1e9}
    assert answer_over(index, reader, "Who sings at noon, Bob?").answer == ""
    # Half of a window is for the question, marks included.
    assert reader.most == "24 tokens of a question"
    assert reader.are_cut([Question("who", ""), Question("who " * 30, "")]) == [False, True]
    words = ["search", str(tmp_path / "index"), "who " * 30, "--reader", str(out)]
    assert main(words) == 0
    assert (
        "longer than the 24 tokens of a question that the reader reads" in capsys.readouterr().err
    )
    # A folder of before has one threshold for all.
    (out / "model" / "threshold.json").write_text('{"threshold": 0.5}')
    before: Any = open_application(out).learned
    assert (before.threshold, before.thresholds) == (0.5, {})
    (out / "model" / "threshold.json").write_text('{"among": 3}')
    with pytest.raises(DataError, match="damaged"):
        open_application(out)
