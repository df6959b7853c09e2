"""`finetune TASK`, `apply TASK`, `search` and `embed` as a user types them."""

from __future__ import annotations

import io
import json
import sys
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
        "classify by linear: 52 rows learned from, judged on 6 (6 rows of the file, held out)"
        in told
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
        (["search", "none", "what"], "no file, folder or corpus"),
        ([*EMBED, "--out", "v.npy"], ".safetensors or .jsonl"),
        ([*EMBED, "--out", "v.jsonl", "--column", "txt"], "no column for the text"),
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
    assert main(["search", "texts", "--index", "index"]) == 0
    assert "2 passages" in capsys.readouterr().out
    assert main(["search", "index", "night", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "fox.txt"
