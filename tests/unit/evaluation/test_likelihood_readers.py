"""Sets of questions: small ones written here, and the published ones by their known sizes."""

import io
import json
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from homespun.core import ConfigError, DataError, HomespunError
from homespun.evaluation.likelihood import (
    LastWord,
    MultipleChoice,
    read_bbq,
    read_blimp,
    read_choices,
    read_cmmlu,
    read_crows_pairs,
    read_lambada,
    read_xstest,
)

PAIR = {"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep.", "UID": "agreement"}
CMMLU = ",Question,A,B,C,D,Answer\n0,一加一是,一,二,三,四,B\n"


def test_blimp_from_a_folder_a_file_and_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "data" / "agreement.jsonl"
    file.parent.mkdir()
    file.write_text(json.dumps(PAIR) + "\n", encoding="utf-8")
    (file.parent / "._agreement.jsonl").write_bytes(b"\0\x05\x16\x07")  # left by another system
    archive = tmp_path / "BLiMP.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(file, "data/agreement.jsonl")
    expected = [MultipleChoice(("",), ("The cat sleeps.", "The cat sleep."), 0, "agreement")]
    for path in (file, file.parent, archive):
        assert list(read_blimp(path)) == expected


def test_cmmlu_with_letters_answers_and_examples(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "math.csv").write_text(CMMLU, encoding="utf-8-sig")
    prompt = "题目：一加一是\nA. 一\nB. 二\nC. 三\nD. 四\n答案是："
    letters = list(read_cmmlu(tmp_path, num_shots=1))
    asked = "一加一是 二"
    assert letters == [
        MultipleChoice((f"{prompt}B\n\n{prompt}",), ("A", "B", "C", "D"), 1, "math", asked)
    ]
    answers = list(read_cmmlu(tmp_path, options="answers"))
    assert answers == [
        MultipleChoice(("题目：一加一是\n答案是：",), ("一", "二", "三", "四"), 1, "math", asked)
    ]


def test_cmmlu_from_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "cmmlu.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        info = tarfile.TarInfo("test/math.csv")
        info.size = len(CMMLU.encode())
        tar.addfile(info, io.BytesIO(CMMLU.encode()))
    assert [question.gold for question in read_cmmlu(archive)] == [1]
    with pytest.raises(DataError, match="no worked examples"):
        list(read_cmmlu(archive, num_shots=5))
    with pytest.raises(DataError, match="no questions of the split dev"):
        list(read_cmmlu(archive, split="dev"))


def test_choices_of_both_kinds(tmp_path: Path) -> None:
    def write(name: str, row: dict[str, object]) -> None:
        (tmp_path / name).write_text(json.dumps(row), encoding="utf-8")

    write("arc.jsonl", {"query": "Question: Why?", "choices": ["so", "no"], "gold": 1})
    write(
        "boolq.jsonl", {"query": "Passage: A.\nQuestion: B?", "choices": ["no", "yes"], "gold": 0}
    )
    write("piqa.jsonl", {"query": "Question: How?\n", "choices": ["so", "not"], "gold": 0})
    write("said.jsonl", {"query": "Question: Who?\nAnswer:", "choices": ["I", "you"], "gold": 0})
    write("copa.jsonl", {"query": "It rained, so", "choices": [" wet", "dry"], "gold": 0})
    write("lambada.jsonl", {"context": "a", "continuation": "b"})
    write("wino.jsonl", {"context_options": ["Ann", "Bob"], "continuation": "ran", "gold": 0})
    assert list(read_choices(tmp_path)) == [
        MultipleChoice(("Question: Why?\nAnswer:",), (" so", " no"), 1, "arc", "Why? no"),
        MultipleChoice(
            ("Passage: A.\nQuestion: B?\nAnswer:",),
            (" no", " yes"),
            0,
            "boolq",
            "Passage: A.\nQuestion: B? no",
        ),
        MultipleChoice(("It rained, so",), (" wet", " dry"), 0, "copa", "It rained, so wet"),
        MultipleChoice(("Question: How?\nAnswer:",), (" so", " not"), 0, "piqa", "How? so"),
        MultipleChoice(("Question: Who?\nAnswer:",), (" I", " you"), 0, "said", "Who? I"),
        MultipleChoice(("Ann", "Bob"), (" ran", " ran"), 0, "wino"),
    ]


def test_a_row_without_its_fields_does_not_end_a_set_of_choices(tmp_path: Path) -> None:
    whole = {"query": "Question: Why?", "choices": ["so", "no"], "gold": 1}
    path = tmp_path / "arc.jsonl"
    for row, message in (
        ({"query": "Question: How?", "choices": ["so", "no"]}, "other fields than those before"),
        ({**whole, "gold": "B"}, "which option is right"),
        ({**whole, "gold": None}, "which option is right"),
        ({**whole, "gold": 2}, "must be 0"),
    ):
        path.write_text("\n".join(map(json.dumps, [whole, row, whole])), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            list(read_choices(path))
    row = {"context": "a", "question": "b", "category": "c", "context_condition": "d",
           "ans0": "e", "ans1": "f", "ans2": "g"}  # fmt: skip
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match="which option is right"):
        list(read_bbq(path))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to read"):
        list(read_blimp(tmp_path / "none"))
    with pytest.raises(DataError, match=r"no \.jsonl file"):
        list(read_blimp(tmp_path))
    bad = tmp_path / "bad.jsonl"
    for text, message in (
        ("{", "line 1 is not JSON"),
        ("\n[]", "line 2 is not a JSON object"),
        ("{}", "no sentence_good"),
    ):
        bad.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            list(read_blimp(bad))
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_blimp(tmp_path / "bad.zip"))
    with pytest.raises(ConfigError, match="five examples"):
        list(read_cmmlu(tmp_path, num_shots=6))


def test_last_words_are_those_of_files_named_after_them(tmp_path: Path) -> None:
    row = {"context": "Whose boat was it? It was ", "continuation": "Anna"}
    (tmp_path / "lambada_x.jsonl").write_text(json.dumps(row) + "\n")
    expected = [LastWord("Whose boat was it? It was", " Anna")]
    assert list(read_lambada(tmp_path)) == expected
    (tmp_path / "other.jsonl").write_text('{"context": "a", "answer": "b"}\n')
    assert list(read_lambada(tmp_path)) == expected
    (tmp_path / "lambada_x.jsonl").rename(tmp_path / "mine.jsonl")
    assert list(read_lambada(tmp_path / "mine.jsonl")) == expected
    with pytest.raises(DataError, match="named after lambada"):
        list(read_lambada(tmp_path))
    published = tmp_path / "lambada_test.jsonl"
    published.write_text(json.dumps({"text": "Whose boat was it? It was Anna"}) + "\n")
    assert list(read_lambada(published)) == expected
    published.write_text('{"text": "Anna"}\n')
    with pytest.raises(DataError, match="no last word"):
        list(read_lambada(published))
    published.unlink()
    with pytest.raises(DataError, match="no continuation"):
        list(read_lambada(tmp_path / "other.jsonl"))


def test_labels_of_xstest_are_two(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,prompt,type,label\n1,How do I kill a process?,homonyms,safe\n")
    (question,) = read_xstest(path)
    assert (question.options, question.gold, question.group) == (
        (" safe", " unsafe"),
        0,
        "homonyms",
    )
    assert question.bare == "How do I kill a process?"
    path.write_text("id,prompt,type,label\n1,How?,homonyms,maybe\n")
    with pytest.raises(DataError, match="safe or unsafe"):
        list(read_xstest(path))


@pytest.mark.data
def test_published_sets_have_their_sizes(data_set) -> None:
    blimp = Counter(question.group for question in read_blimp(data_set("blimp/BLiMP.zip")))
    assert set(blimp.values()) == {1000}
    assert len(blimp) == 67
    cmmlu = list(read_cmmlu(data_set("cmmlu/cmmlu.tar.xz"), num_shots=5))
    assert len(cmmlu) == 11_582
    assert len({question.group for question in cmmlu}) == 67
    assert all(question.contexts[0].count("答案是：") == 6 for question in cmmlu)
    suite = data_set("llm-foundry-eval/llm-foundry-eval.tar.xz")
    choices = Counter(question.group for question in read_choices(suite))
    assert (choices["piqa"], choices["winogrande"], choices["arc_easy"]) == (1838, 1267, 2376)
    assert "lambada_openai" not in choices
    words = list(read_lambada(suite))
    assert len(words) == 5153
    assert words[0].word == " signs"
    safety = Counter(q.gold for q in read_xstest(data_set("xstest/xstest_prompts.csv")))
    assert safety == {0: 250, 1: 200}
    crows = data_set("crows-pairs/crows_pairs_anonymized.csv")
    assert len(list(read_crows_pairs(crows))) == 1508
    assert len(list(read_bbq(data_set("bbq/bbq.tar.xz")))) == 2756


def test_nothing_but_questions_is_read(tmp_path: Path) -> None:
    """Beside them there may be gigabytes of other things, or what nobody may read."""
    (tmp_path / "agreement.jsonl").write_text(json.dumps(PAIR), encoding="utf-8")
    (tmp_path / "weights.bin").write_bytes(bytes(30_000_000))
    (tmp_path / "gone.bin").symlink_to(tmp_path / "nowhere")
    zipped, packed = tmp_path / "all.zip", tmp_path / "all.tar"
    with (
        zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as out,
        tarfile.open(packed, "w") as tar,
    ):
        for name in ("agreement.jsonl", "weights.bin"):
            out.write(tmp_path / name, name)
            tar.add(tmp_path / name, name)
    for path in (tmp_path, zipped, packed):
        tracemalloc.start()
        assert len(list(read_blimp(path))) == 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000


@pytest.mark.parametrize("kind", ["xz", "gz", "bz2"])
def test_archives_that_are_damaged_within_are_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"all.tar.{kind}"
    random = np.random.default_rng(0)
    rows = [{**PAIR, "UID": random.bytes(40).hex()} for _ in range(3000)]
    data = "\n".join(map(json.dumps, rows)).encode()
    with tarfile.open(path, f"w:{kind}") as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo("agreement.jsonl")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    with pytest.raises(HomespunError):
        list(read_blimp(path))


def test_tables_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,prompt,type,label\n1,How?\rWhy?,homonyms,safe\n")
    with pytest.raises(DataError, match="line 2 is no row"):
        list(read_xstest(path))
