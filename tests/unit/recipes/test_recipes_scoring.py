"""`homespun score`: answers of anybody beside right ones, and beside those of another."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jiwer
import pytest
import sacrebleu
from sklearn.metrics import f1_score

from homespun.cli import main
from homespun.core import ConfigError, DataError
from homespun.recipes.applications import Asked, learn_application
from homespun.recipes.scoring import ScoreAsk, score


def lines(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def rows(path: Path, given: Sequence[Mapping[str, Any]]) -> Path:
    return lines(path, [json.dumps(row, ensure_ascii=False) for row in given])


def values(told: Mapping[str, Any]) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in told["measures"]}


WANTED = ["好评", "差评", "好评", "中评", "差评", "好评", "差评", "好评", "好评", "中评"]
GIVEN = ["好评", "好评", "好评", "中评", "差评", "差评", "差评", "好评", "好评", "差评"]


def test_labels_of_two_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = lines(
        tmp_path / "对.csv", ["评论,标签", *(f"第{n}条,{w}" for n, w in enumerate(WANTED))]
    )
    said = rows(tmp_path / "said.jsonl", [{"row": n, "label": g} for n, g in enumerate(GIVEN)])
    out = tmp_path / "told.json"
    asked = ["score", str(said), str(right), "--as", "labels", "--json", str(out)]
    assert main(asked) == 0
    told = json.loads(out.read_text("utf-8"))
    found = values(told)
    assert found["accuracy"] == pytest.approx(0.7)
    for kind in ("macro", "micro", "weighted"):
        assert found[f"{kind} F1"] == pytest.approx(f1_score(WANTED, GIVEN, average=kind))
    assert told["measures"][0]["low"] < 0.7 < told["measures"][0]["high"]
    printed = capsys.readouterr().out
    assert "labels: 10 rows" in printed
    assert "accuracy: kind:labels" in printed
    # Columns of other names; a row that is not answered is wrong, and a blank one is none.
    other = lines(tmp_path / "b.csv", ["n,mood", ",", *(f"{n},{g}" for n, g in enumerate(GIVEN))])
    blank = lines(
        tmp_path / "空.csv", ["评论,标签", ",", *right.read_text("utf-8").split("\n")[1:-1]]
    )
    columns = {"answers": "mood", "right": "标签"}
    assert values(score(ScoreAsk(other, blank, "labels", columns=columns))) == found
    other.write_text(
        other.read_text("utf-8").replace("9,差评", "9,").replace("0,好评", "0,"), "utf-8"
    )
    told = score(ScoreAsk(other, blank, "labels", columns=columns))
    assert (told["rows"], values(told)["accuracy"]) == (10, pytest.approx(0.6))


def test_numbers_and_lists_as_labels(tmp_path: Path) -> None:
    right = rows(tmp_path / "r.jsonl", [{"label": n % 2} for n in range(10)])
    said = rows(tmp_path / "s.jsonl", [{"label": float(n % 2)} for n in range(10)])
    assert values(score(ScoreAsk(said, right, "labels")))["accuracy"] == 1
    several = rows(tmp_path / "m.jsonl", [{"labels": ["a", "b"]}, {"labels": []}])
    given = rows(tmp_path / "g.jsonl", [{"labels": ["a"]}, {"labels": []}])
    found = values(score(ScoreAsk(given, several, "labels")))
    assert found["micro F1"] == pytest.approx(2 / 3)


def test_transcripts_in_both_languages(tmp_path: Path) -> None:
    wanted = ["the cat sat on the mat", "hello there world", "one two three"]
    given = ["the cat sat on a mat", "hello world", "one two three four"]
    right, said = lines(tmp_path / "r.txt", wanted), lines(tmp_path / "s.txt", given)
    found = values(score(ScoreAsk(said, right, "transcripts")))
    assert found["word error rate"] == pytest.approx(jiwer.wer(wanted, given))
    assert found["character error rate"] == pytest.approx(jiwer.cer(wanted, given))
    right, said = (
        lines(tmp_path / "对.txt", ["今天 天气很好"]),
        lines(tmp_path / "说.txt", ["今天天汽好"]),
    )
    assert values(score(ScoreAsk(said, right, "transcripts"))) == {
        "character error rate": pytest.approx(2 / 6)
    }


def test_translations_say_their_signature(tmp_path: Path) -> None:
    wanted = ["The cat sat on the mat today.", "There is a dog in the park.", "Nothing is left."]
    given = ["The cat sat on a mat today.", "There is a dog in our park.", "Nothing is left."]
    right = rows(tmp_path / "r.jsonl", [{"target": text} for text in wanted])
    told = score(ScoreAsk(lines(tmp_path / "s.txt", given), right, "translations"))
    assert values(told)["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(given, [wanted]).score)
    assert values(told)["chrF2"] == pytest.approx(sacrebleu.corpus_chrf(given, [wanted]).score)
    assert "tok:13a" in told["measures"][0]["signature"]
    chinese = lines(tmp_path / "c.txt", ["今天的天气很好。", "他昨天没有来。"])
    assert "tok:zh" in score(ScoreAsk(chinese, chinese, "translations"))["measures"][0]["signature"]


def test_tags_words_summaries_and_answers(tmp_path: Path) -> None:
    right = rows(
        tmp_path / "r.jsonl",
        [{"tags": ["I-PER", "O", "I-LOC"]}, {"tags": "O O"}, {"tags": ["B-PER", "I-PER"]}],
    )
    said = rows(
        tmp_path / "s.jsonl",
        [{"tags": ["B-PER", "O", "O"]}, {"tags": ["O", "O"]}, {"tags": "B-PER I-PER"}],
    )
    found = values(score(ScoreAsk(said, right, "tags")))
    assert found["micro F1"] == pytest.approx(2 * 2 / (3 + 2))
    cut = lines(tmp_path / "c.txt", ["我们 喜欢 书", "他 来 了"])
    other = rows(
        tmp_path / "d.jsonl", [{"words": ["我", "们", "喜欢", "书"]}, {"words": ["他", "来了"]}]
    )
    found = values(score(ScoreAsk(other, cut, "words")))
    assert found["micro F1"] == pytest.approx(2 * 3 / (6 + 6))
    whole = rows(tmp_path / "w.jsonl", [{"summary": "a dog ran home"}])
    short = rows(tmp_path / "h.jsonl", [{"summary": "a dog ran"}])
    found = values(score(ScoreAsk(short, whole, "summaries")))
    assert found["ROUGE-L"] == pytest.approx(6 / 7)
    gold = rows(tmp_path / "q.jsonl", [{"answers": ["北京"]}, {"answers": []}])
    given = rows(tmp_path / "a.jsonl", [{"answer": "北京市"}, {"answer": None}])
    told = score(ScoreAsk(given, gold, "answers"))
    assert values(told)["exact match"] == 0.5
    assert "lang:zh" in told["measures"][0]["signature"]


def test_words_of_a_sentence_are_redrawn_together(tmp_path: Path) -> None:
    """A measure of words has no narrower interval for words that hang together."""
    tags = [["NOUN", "VERB"] * 5 if n % 2 else ["VERB", "NOUN"] * 5 for n in range(40)]
    right = rows(tmp_path / "r.jsonl", [{"tags": t, "who": n // 2} for n, t in enumerate(tags)])
    said = rows(tmp_path / "s.jsonl", [{"tags": tags[n - n % 4 // 3]} for n in range(40)])
    told = score(ScoreAsk(said, right, "tags"))
    assert [entry["name"] for entry in told["measures"]] == ["token accuracy", "macro F1"]
    macro = told["measures"][1]
    # One sentence in four is wrong as a whole: of 400 single words it would be a third as wide.
    assert macro["high"] - macro["low"] > 0.15
    by_who = score(ScoreAsk(said, right, "tags", group="who"))["measures"][1]
    assert "redrawn:20 groups" in by_who["signature"]


def test_two_who_answered_the_same_are_compared_row_by_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["yes" if n % 2 else "no" for n in range(60)]
    right = rows(tmp_path / "r.jsonl", [{"label": w, "who": n // 5} for n, w in enumerate(wanted)])
    good = lines(tmp_path / "good.txt", [w if n % 12 else "no" for n, w in enumerate(wanted)])
    bad = lines(tmp_path / "bad.txt", ["no"] * 60)
    out = tmp_path / "told.json"
    asked = ["score", str(good), str(right), "--as", "labels", "--beside", str(bad)]
    assert main([*asked, "--json", str(out)]) == 0
    assert "difference" in capsys.readouterr().out
    first = json.loads(out.read_text())["measures"][0]
    assert first["beside"] == 0.5
    assert first["difference"]["value"] == pytest.approx(first["value"] - 0.5)
    assert 0 < first["difference"]["low"] < first["difference"]["high"]
    assert first["difference"]["p"] < 0.01
    grouped = score(ScoreAsk(good, right, "labels", bad, group="who"))["measures"][0]
    assert "redrawn:12 groups" in grouped["signature"]
    same = score(ScoreAsk(bad, right, "labels", bad))["measures"][0]["difference"]
    assert (same["value"], same["p"]) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "wanted", "ours", "theirs"),
    [
        ("labels", ["a", "b"], ["a", "b"], ["a", "c"]),
        ("labels", [["a"], ["b"]], [["a"], []], [["a", "c"], ["d"]]),
        ("tags", ["N V", "V N"], ["N V", "V N"], ["N X", "Y N"]),
        ("tags", ["B-PER O", "O B-LOC"], ["B-PER O", "O O"], ["B-ORG O", "O B-LOC"]),
    ],
)
def test_who_answers_with_classes_of_its_own_is_compared_too(
    tmp_path: Path, kind: str, wanted: list[Any], ours: list[Any], theirs: list[Any]
) -> None:
    right, one, other = (
        rows(tmp_path / f"{name}.jsonl", [{kind: cell} for cell in cells * 10])
        for name, cells in (("right", wanted), ("one", ours), ("other", theirs))
    )
    told = score(ScoreAsk(one, right, kind, other))
    # Those classes change nothing for who never has them.
    assert values(told) == pytest.approx(values(score(ScoreAsk(one, right, kind))))
    alone = values(score(ScoreAsk(other, right, kind)))
    for entry in told["measures"]:
        assert entry["beside"] == pytest.approx(alone[entry["name"]])
        by = entry["value"] - entry["beside"]
        assert entry["difference"]["value"] == pytest.approx(by)


def test_learned_tasks_are_compared_by_their_folders(tmp_path: Path) -> None:
    data = rows(
        tmp_path / "r.jsonl",
        [
            {"text": f"a {word} thing, number {n}", "label": label, "who": n // 3}
            for n in range(120)
            for label, word in (("good", "fine"), ("bad", "dull"))
        ],
    )

    def learn(name: str, **more: Any) -> dict[str, Any]:
        asked = Asked("classify", data, tmp_path / name, judge_baselines=False, **more)
        return learn_application(asked)

    one = learn("linear", group="who")
    learn("majority", method="majority", group="who")
    told = score(ScoreAsk(tmp_path / "linear", beside=tmp_path / "majority"))
    first, wanted = told["measures"][0], one["measures"][0]
    assert (first["value"], first["low"]) == (wanted["value"], wanted["low"])
    assert first["beside"] == pytest.approx(0.5)
    # What hangs together is redrawn together here too.
    assert "redrawn:" in first["signature"]
    learn("seed", seed=1)
    with pytest.raises(DataError, match="not judged on the same rows"):
        score(ScoreAsk(tmp_path / "linear", beside=tmp_path / "seed"))
    with pytest.raises(ConfigError, match="are no tags"):
        score(ScoreAsk(tmp_path / "linear", kind="tags"))
    # Nothing that is said is passed over.
    with pytest.raises(ConfigError, match="leave RIGHT and --group out"):
        score(ScoreAsk(tmp_path / "linear", data, "labels", group="who"))


def test_what_apply_wrote_is_scored_beside_the_table_it_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = ["评论,标签", *(f"{n} {w},{w}" for n in range(30) for w in ("好", "坏"))]
    lines(tmp_path / "r.csv", table)
    assert main(["finetune", "classify", "r.csv", "--out", "mine", "--no-baselines"]) == 0
    lines(tmp_path / "new.csv", ["评论,标签", "又好,好", ",", "又坏,坏", "真好,坏"])
    assert main(["apply", "classify", "mine", "new.csv", "--out", "said.jsonl"]) == 0
    told = score(ScoreAsk(Path("said.jsonl"), Path("new.csv"), "labels"))
    assert told["rows"] == 3
    assert values(told)["accuracy"] == pytest.approx(2 / 3)


def test_what_cannot_be_scored_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = rows(tmp_path / "r.jsonl", [{"label": "a"}, {"label": "b"}])
    said = lines(tmp_path / "s.txt", ["a"])

    def fails(*asked: str) -> str:
        assert main(["score", *asked]) in (1, 2)
        return " ".join(capsys.readouterr().err.split())

    assert "give a second file, and --as with one of labels" in fails(str(said))
    assert "did you mean 'labels'" in fails(str(said), str(right), "--as", "label")
    assert "has not as many rows" in fails(str(said), str(right), "--as", "labels")
    two = lines(tmp_path / "t.txt", ["a", "b"])
    found = rows(tmp_path / "f.jsonl", [{"label": "a", "x": 1}, {"label": "", "x": 1}])
    assert "row 2 has nothing that is right" in fails(str(two), str(found), "--as", "labels")
    assert "no column for what is right" in fails(
        str(two), str(rows(tmp_path / "g.jsonl", [{"a": 1, "b": 2}] * 2)), "--as", "labels"
    )
    tags = rows(tmp_path / "h.jsonl", [{"tags": "O O"}])
    assert "row 1 has not as many tags" in fails(str(said), str(tags), "--as", "tags")
    words = lines(tmp_path / "w.txt", ["我 们"])
    assert "not of the text that is right" in fails(str(said), str(words), "--as", "words")
    assert "there is no learned task" in fails(str(tmp_path))
    missing = str(tmp_path / "中")
    for asked in ([missing], [missing, "--as", "labels"], [missing, str(right)]):
        assert f"there is no folder {missing}, nor a file" in fails(*asked)


def test_a_folder_beside_that_is_not_there_is_told(tmp_path: Path) -> None:
    data = rows(
        tmp_path / "r.jsonl",
        [{"text": f"{word} {n}", "label": word} for n in range(30) for word in ("good", "bad")],
    )
    asked = Asked("classify", data, tmp_path / "cls", method="majority", judge_baselines=False)
    learn_application(asked)
    with pytest.raises(DataError, match=r"there is no folder .*中"):
        score(ScoreAsk(tmp_path / "cls", beside=tmp_path / "中"))


@pytest.mark.parametrize("kind", ["labels", "translations"])
def test_the_only_column_of_what_is_right_is_taken_by_a_name_that_says_so(
    tmp_path: Path, kind: str
) -> None:
    """Texts that were answered are no right answers, and every answer would be called wrong."""
    said = rows(tmp_path / "said.jsonl", [{"output": "好"}, {"output": "坏"}])
    new = lines(tmp_path / "new.csv", ["review", "好", "坏"])
    objects = rows(tmp_path / "new.jsonl", [{"review": "好"}, {"review": "坏"}])
    for given in (new, objects):
        with pytest.raises(DataError, match=r"no column for what is right.*got review.*right=NAME"):
            score(ScoreAsk(said, given, kind))
    wanted = score(ScoreAsk(said, new, kind, columns={"right": "review"}))
    # Lines of plain text have no name, and a line of a table may be none.
    plain = lines(tmp_path / "right.txt", ["好", "坏"])
    headless = lines(tmp_path / "right.csv", ["好", "坏"])
    assert score(ScoreAsk(said, plain, kind)) == wanted
    assert score(ScoreAsk(said, headless, kind, columns={"right": "1"})) == wanted
    usual = {"labels": "标签", "translations": "译文"}[kind]
    named = lines(tmp_path / "named.csv", [usual, "好", "坏"])
    assert score(ScoreAsk(said, named, kind)) == wanted


@pytest.mark.parametrize("kind", ["lines of JSON", "lines of text"])
def test_what_is_right_may_come_on_standard_input(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = rows(tmp_path / "said.jsonl", [{"label": label} for label in GIVEN])
    text = "".join(
        f"{json.dumps({'label': label}) if kind == 'lines of JSON' else label}\n"
        for label in WANTED
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    told = score(ScoreAsk(said, right=Path("-"), kind="labels"))
    assert values(told)["accuracy"] == pytest.approx(0.7)
