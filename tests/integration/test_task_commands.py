"""`finetune TASK`, `apply TASK`, `search` and `embed` as a user types them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from homespun.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of reviews."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    rows = [
        f"{label},a {word} {thing} it was\n"
        for label, words in (("good", "fine warm lovely bright"), ("bad", "dull cold ugly dark"))
        for word in words.split()
        for thing in ["film", "day", "book", "song", "room", "soup", "dog", "road"]
    ]
    (tmp_path / "reviews.csv").write_text("stars,review\n" + "".join(rows))
    return tmp_path


def test_a_task_from_file_to_answers(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["finetune", "classify", "reviews.csv", "--out", "mine", "--columns", "label=stars"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert (
        "classify by linear: 52 rows learned from, 6 more that its penalty was chosen by and that "
        "were then learned from as well; judged on 6 (6 rows of the file, held out)" in told
    )
    assert "accuracy" in told
    assert "majority" in told
    assert "homespun apply classify mine FILE" in told
    for name in ("application.json", "results.json", "predictions.jsonl", "README.md"):
        assert (home / "mine" / name).is_file()
    assert "<html" in (home / "mine" / "report.html").read_text("utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO("a lovely road\nan ugly soup\n"))
    assert main(["apply", "classify", "mine"]) == 0
    assert capsys.readouterr().out.split() == ["good", "bad"]
    (home / "new.jsonl").write_text('{"review": "a fine dog"}\n')
    assert main(["apply", "classify", "mine", "new.jsonl", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["asked"], row["label"]) == ("a fine dog", "good")
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"film": "a fine dog"}\n'))
    assert main(["apply", "classify", "mine"]) == 1
    told = capsys.readouterr().err
    assert "standard input has no column for the text" in told
    assert 'give JSON lines, as {"text": …}' in told
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["apply", "classify", "mine"]) == 1
    assert "standard input has no rows" in capsys.readouterr().err
    assert main(["apply", "classify", "mine", "new.jsonl", "--out", "said.jsonl"]) == 0
    assert json.loads((home / "said.jsonl").read_text())["label"] == "good"


LEARN = ["finetune", "classify", "reviews.csv", "--out", "x"]
LABELLED = [*LEARN, "--columns", "label=stars"]
EMBED = ["embed", "reviews.csv", "--base", "."]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["finetune", "classify", "none.csv", "--out", "x"], "no file none.csv"),
        (LEARN, "no column for the class"),
        ([*LEARN, "--columns", "lable=stars"], "did you mean 'label'"),
        ([*LABELLED, "--method", "liner"], "did you mean 'linear'"),
        ([*LABELLED, "--set", "epochs"], "NAME=VALUE"),
        (["finetune", "tag", "reviews.csv", "--out", "x"], "no column for the words"),
        (["apply", "classify", "none"], "no learned task"),
        (
            ["apply", "classify", "none", "reviews.csv", "--json", "--out", "x"],
            "--out writes JSON lines anyway",
        ),
        (["search", "reviews.csv", "--json"], "--json prints what is found, and nothing is"),
        (["search", "none", "what"], "no file, folder or corpus"),
        (["search", "none", "what", "--reader", "."], "no learned task"),
        (["search", "none", "--reader", "x"], "--reader answers a question, and there is none"),
        ([*EMBED, "--out", "v.npy"], ".safetensors or .jsonl"),
        ([*EMBED, "--out", "v.jsonl", "--column", "txt"], "which one has the texts: --column NAME"),
        (
            ["embed", "reviews.csv", "--base", "tales", "--out", "v.jsonl", "--column", "review"],
            "tales is not the folder of an encoder",
        ),
        (["search", "reviews.csv", "film", "--base", "tales"], "not the folder of an encoder"),
        (["search", "reviews.csv", " "], "nothing to look for"),
        (["finetune", "classify", ".", "--out", "x"], ". is a folder; name a file in it"),
        (["finetune", "classify", "reviews.csv", "--out", "reviews.csv"], "reviews.csv is a file"),
        (["bench", "families", "--family", "lstn", "--minutes", "1"], "did you mean 'lstm'"),
    ],
)
def test_wrong_input_gets_one_sentence_and_leaves_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(words) != 0
    told = capsys.readouterr()
    assert says in told.err
    assert "Traceback" not in told.err
    assert not (home / "x").exists()


def test_search_shows_passages_with_their_place(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "texts").mkdir()
    (home / "texts" / "hen.txt").write_text("The hen lays an egg each day.")
    (home / "texts" / "fox.txt").write_text("The fox runs at night.")
    assert main(["search", "texts", "who lays an egg", "--top", "1"]) == 0
    told = capsys.readouterr().out
    assert "hen.txt:0" in told
    assert "fox" not in told
    assert main(["search", "texts", "zzz"]) == 0
    told = capsys.readouterr()
    assert "nothing found" in told.err
    assert not told.out
    assert main(["search", "texts", "--index", "index"]) == 0
    assert "2 passages" in capsys.readouterr().out
    assert main(["search", "index", "night", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "fox.txt"


def test_search_shows_wrapped_chinese_without_gaps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "texts").mkdir()
    (home / "texts" / "hen.txt").write_text("母鸡每天在农场的院子\n里下一个蛋。", "utf-8")
    rows = [
        {"question": f"谁在{place}？", "passage": f"张三在{place}。", "answers": ["张三"]}
        for place in "家店山河路桥村镇城海"
    ]
    (home / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["search", "texts", "谁下蛋"]) == 0
    assert "母鸡每天在农场的院子里下一个蛋。" in capsys.readouterr().out
    assert main(["finetune", "answer", "q.jsonl", "--out", "r", "--method", "overlap"]) == 0
    capsys.readouterr()
    assert main(["search", "texts", "谁下蛋", "--reader", "r"]) == 0
    assert "): 母鸡每天在农场的院子里下一个蛋。" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--base", "bert"], "--base is for making one"),
        (["--index", "other"], "--index is for making one"),
    ],
)
def test_an_index_takes_no_option_that_makes_one(
    home: Path, texts: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["search", "texts", "--index", "index"]) == 0
    assert main(["search", "index", "fox", *words]) == 2
    told = capsys.readouterr().err
    assert "index is an index already" in told
    assert says in told
    assert not (home / "other").exists()


@pytest.mark.parametrize(
    ("words", "flag", "others"),
    [
        (["translate", "--memory", "--method", "memory"], "--memory", "transformer or --method t5"),
        (["translate", "--prefix", "de: "], "--prefix", "--method t5"),
        (["classify", "--memory"], "--memory", None),
        (["classify", "--kind", "poem"], "--kind", None),
        (["translate", "--form", "5x4"], "--form", None),
    ],
)
def test_a_flag_that_a_method_does_not_know_is_called_by_its_name(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    flag: str,
    others: str | None,
) -> None:
    assert main(["finetune", words[0], "reviews.csv", "--out", "x", *words[1:]]) == 2
    told = capsys.readouterr().err
    assert f"has nothing of {flag}" in told
    assert f"leave {flag} out" in told
    assert "--set" not in told
    assert ("--method" in told) == (others is not None)
    assert (others or "") in told


@pytest.fixture
def bert(home: Path, write_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    """A little encoder that has never learned anything."""
    return write_bert(home / "bert", ["the hen lays an egg each day", "the fox runs at night"])


@pytest.fixture
def texts(home: Path) -> Path:
    (home / "texts").mkdir()
    (home / "texts" / "hen.txt").write_text("The hen lays an egg each day.")
    (home / "texts" / "fox.txt").write_text("The fox runs at night.")
    return home / "texts"


@pytest.mark.parametrize("name", ["v.safetensors", "v.jsonl"])
def test_texts_become_vectors(
    home: Path, bert: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (home / "lines.txt").write_text(f"the hen\nthe fox\n{'the egg ' * 80}\n")
    assert main(["embed", "lines.txt", "--base", "bert", "--out", name]) == 0
    told = capsys.readouterr().out
    assert "3 vectors of 32 numbers in" in told
    assert "1 texts are longer than the 64 tokens that are read" in told
    if name.endswith(".jsonl"):
        rows = [json.loads(line) for line in (home / name).read_text().splitlines()]
    else:
        from safetensors.numpy import load_file

        rows = load_file(home / name)["vectors"].tolist()
    assert [round(sum(value * value for value in row), 3) for row in rows] == [1.0] * 3


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", "the hen\n\nthe fox\n \n"), ("a.csv", 'text\nthe hen\n\nthe fox\n" "\n')],
)
def test_vectors_stand_in_the_lines_of_their_texts(
    home: Path, bert: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    (home / name).write_text(content)
    assert main(["embed", name, "--base", "bert", "--out", "v.jsonl"]) == 0
    assert "2 rows are blank: their vectors are zeros" in capsys.readouterr().out
    rows = [json.loads(line) for line in (home / "v.jsonl").read_text().splitlines()]
    assert [any(row) for row in rows] == [True, False, True, False]
    (home / "blank.txt").write_text("\n \n")
    assert main(["embed", "blank.txt", "--base", "bert", "--out", "w.jsonl"]) == 1
    assert "blank.txt says nothing" in capsys.readouterr().err
    assert not (home / "w.jsonl").exists()


def test_what_is_no_text_gets_no_vector_and_no_file_is_written_over(
    home: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = '{"text": "the hen"}\n{"text": ["the", "fox"]}\n'
    (home / "l.jsonl").write_text(content)
    assert main(["embed", "l.jsonl", "--base", "bert", "--out", "v.jsonl"]) == 1
    assert "row 2 of l.jsonl has no one text in its column text" in capsys.readouterr().err
    assert not (home / "v.jsonl").exists()
    assert main(["embed", "l.jsonl", "--base", "bert", "--out", "l.jsonl"]) == 1
    assert "l.jsonl is the file that is read; name another --out" in capsys.readouterr().err
    assert (home / "l.jsonl").read_text() == content


def test_answers_stand_in_the_lines_of_their_rows(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LEARN, "--columns", "label=stars", "--no-baselines"]) == 0
    capsys.readouterr()
    (home / "new.csv").write_text("review\na fine dog\n\nan ugly soup\n")
    assert main(["apply", "classify", "x", "new.csv"]) == 0
    assert capsys.readouterr().out.split("\n") == ["good", "", "bad", ""]


def test_search_by_meaning_keeps_its_index(
    home: Path, bert: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["search", "texts", "who lays an egg", "--base", "bert", "--index", "texts/index"]
    for _ in range(2):
        assert main([*asked, "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {row["source"] for row in rows} == {"hen.txt", "fox.txt"}
    assert (texts / "index" / "vectors.safetensors").is_file()
    assert main(["search", "texts/index", "fox", "--top", "1"]) == 0
    assert "0.0" in capsys.readouterr().out


def test_questions_are_answered_from_a_folder_by_a_reader(
    home: Path, bert: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "question": f"who {deed}?",
            "passage": f"The {who} {deed} on day {n}.",
            "answers": [f"The {who}"] if n % 3 else [],
        }
        for n in range(20)
        for who, deed in (("hen", "lays an egg"), ("fox", "runs at night"))
    ]
    (home / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    learn = ["finetune", "answer", "q.jsonl", "--out", "reader", "--base", "bert"]
    few = ["--set", "epochs=1", "--set", "window=48", "--no-baselines"]
    assert main([*learn, *few]) == 0
    capsys.readouterr()
    path = home / "reader" / "model" / "threshold.json"
    for threshold, is_answered in ((-1e9, True), (1e9, False)):
        told = {"threshold": 0.0, "among": {"8": threshold}}
        path.write_text(json.dumps(told))
        asked = ["search", "texts", "who lays an egg?", "--reader", "reader"]
        assert main([*asked, "--json"]) == 0
        (row,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert (row["answer"] is not None) == is_answered
        assert row["source"] in ("hen.txt", "fox.txt")
        if is_answered:
            text = (texts / row["source"]).read_text()
            assert text[row["start"] : row["start"] + len(row["answer"])] == row["answer"]
        assert main(asked) == 0
        shown = capsys.readouterr().out
        assert ("I don't know" in shown) != is_answered
        assert "hen.txt:" in shown or "fox.txt:" in shown
    assert main([*asked[:2], "谁下了一个 egg?", *asked[3:]]) == 0
    assert "不知道" in capsys.readouterr().out


def test_a_run_is_asked_questions(
    home: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"query": f"Question: what is {n} and more?", "choices": ["one", "two"], "gold": n % 2}
        for n in range(12)
    ]
    (home / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["bench", "questions", str(finished), "set.jsonl", "--json", "told.json"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "12 questions" in told
    assert "5-gram" in told
    assert "chance" in told
    assert "0.0% of them stand in the text the run was trained on (corpus, chat)" in told
    assert json.loads((home / "told.json").read_text())["questions"] == 12
    assert main([*asked, "--alone", "--most", "5"]) == 0
    assert "5-gram" not in capsys.readouterr().out


def test_where_no_text_is_kept_nothing_is_said_to_be_unread(
    home: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = home / "bare"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "corpus")
    rows = [{"query": f"what is {n}?", "choices": ["one", "two"], "gold": 0} for n in range(9)]
    (home / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["bench", "questions", str(copy), "set.jsonl"]) == 0
    assert "is not known: the run keeps no text" in capsys.readouterr().out
    rows = [{"query": f"{n}?", "choices": ["one", "two"], "gold": 0} for n in range(9)]
    (home / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["bench", "questions", str(finished), "short.jsonl", "--alone"]) == 0
    told = capsys.readouterr().out
    assert "is not known: they are too short to be looked up" in told
    assert "0.0%" not in told.split("9 questions")[1]


def test_options_of_one_task_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": f"Number {n} was seen. Plan {n} is good. It rains.", "summary": f"Plan {n}."}
        for n in range(20)
    ]
    (home / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    learn = ["finetune", "summarise", "s.jsonl", "--out", "sums", "--sentences", "2"]
    assert main(learn) == 0
    assert main(["apply", "summarise", "sums", "s.jsonl", "--out", "said.jsonl"]) == 0
    said = [json.loads(line) for line in (home / "said.jsonl").read_text().splitlines()]
    assert all(row["summary"].count(".") == 2 for row in said)
    capsys.readouterr()
    assert main(["apply", "summarise", "sums", "s.jsonl", "--out", "said.jsonl"]) == 0
    assert "20 answers in said.jsonl, 20 of them from before" in capsys.readouterr().out
    lines = [f"a {w} day {n},{w}; warm" for w in ("fine", "dull") for n in range(12)]
    (home / "m.csv").write_text("text,labels\n" + "\n".join(lines) + "\n")
    learn = ["finetune", "classify", "m.csv", "--out", "many", "--several", ";"]
    assert main([*learn, "--no-baselines"]) == 0
    assert "samples F1" in capsys.readouterr().out
    assert main(["finetune", "classify", "m.csv", "--out", "x", "--sentences", "2"]) != 0
    told = capsys.readouterr().err
    assert "'linear' of classify has nothing of --sentences" in told
    assert "leave --sentences out" in told


def test_both_ways_of_counting_bleu_are_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"source": f"eins und {n}", "target": f"One and {n} more."} for n in range(20)]
    (home / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["finetune", "translate", "p.jsonl", "--out", "mine", "--method", "memory"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "BLEU (case:mixed)" in told
    assert "BLEU (case:lc)" in told


def test_the_table_of_families_is_shown_drawn_and_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "tales"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.txt").write_text(f"Tale {n}: the fox went to the river. " * 40)
    words = ["bench", "families", "--corpus", "tales", "--minutes", "0.02", "--vocab", "300"]
    words += ["--family", "n-gram", "--family", "gru", "--family", "encoder", "--recipe"]
    files = ["--picture", "table.svg", "--json", "table.json", "--keep", "kept"]
    assert main([*words, *files]) == 0
    told = capsys.readouterr().out
    for shown in ("n-gram", "1995", "gru", "2014", "encoder *", "2018", "no probability of"):
        assert shown in told
    found = json.loads((home / "table.json").read_text())
    assert [row["name"] for row in found["families"]] == ["n-gram", "gru", "encoder"]
    assert "gru (2014)" in (home / "table.svg").read_text()
    # The same again takes the rows that are kept, and shows the same.
    assert main([*words, *files]) == 0
    assert capsys.readouterr().out == told
