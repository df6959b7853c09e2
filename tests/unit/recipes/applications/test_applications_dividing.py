"""Rows of one author, document or patient are on one side of the split, and every class has its
share of each side."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from task_files import Make, reviews  # type: ignore[import-not-found]

from homespun.cli import main
from homespun.core import DataError, RunError, derive_seed
from homespun.recipes.applications import Also, Asked, find_application, learn_application
from homespun.recipes.applications.reading import RowReader, read_parts
from homespun.recipes.applications.rows import read_rows
from homespun.recipes.applications.splitting import Parts, split


def mixed(num: int, sizes: Mapping[str, int], *, seed: int = 0) -> list[str]:
    """Classes in these sizes, the rest "a", in a drawn order."""
    names = [name for name, n in sizes.items() for _ in range(n)]
    names += ["a"] * (num - len(names))
    return [names[at] for at in np.random.default_rng(seed).permutation(num)]


def texts_of(classes: Sequence[str]) -> list[str]:
    return [f"text {number}" for number in range(len(classes))]


def counts(part: Sequence[int], classes: Sequence[str]) -> Counter[str]:
    return Counter(classes[number] for number in part)


def divided_obviously(texts: Sequence[str], classes: Sequence[str], seed: int) -> Parts:
    """Of classes that are not rare: seat by seat to the class that lacks most, and of each class
    the texts that are drawn first."""
    num = round(len(texts) / 10)
    left = sorted(range(len(texts)), key=lambda n: derive_seed(seed, "split", texts[n]))
    parts = []
    for _ in ("test", "dev"):
        there = counts(left, classes)
        seats: Counter[str] = Counter()
        for _ in range(num):
            lacks = {name: Fraction(num * n, len(left)) - seats[name] for name, n in there.items()}
            draws = {name: derive_seed(seed, "class", name) for name in there}
            seats[max(lacks, key=lambda name: (lacks[name], -draws[name]))] += 1
        part: list[int] = []
        for number in left:
            if counts(part, classes)[classes[number]] < seats[classes[number]]:
                part.append(number)
        parts.append(sorted(part))
        left = [number for number in left if number not in part]
    return Parts(sorted(left), parts[1], parts[0])


@pytest.mark.parametrize("seed", range(4))
def test_every_class_has_its_share_as_by_hand(seed: int) -> None:
    classes = mixed(237, {"b": 61, "c": 30, "好评": 17}, seed=seed)
    texts = texts_of(classes)
    parts = split(texts, str, seed=seed, classes=classes)
    assert parts == divided_obviously(texts, classes, seed)
    for part in (parts.test, parts.dev):
        for name, n in counts(range(237), classes).items():
            assert abs(counts(part, classes)[name] - len(part) * n / 237) <= 1
    # A draw without a look at classes comes to something else.
    assert split(texts, str, seed=seed) != parts


def test_the_split_is_a_function_of_rows_and_seed_and_not_of_their_order() -> None:
    classes = mixed(200, {"b": 40, "c": 9, "d": 3, "e": 2})
    groups = [f"author {number % 37}" for number in range(200)]
    texts = texts_of(classes)
    for of in (None, groups):
        parts = split(texts, str, seed=1, classes=classes, groups=of)
        turned = split(
            texts[::-1], str, seed=1, classes=classes[::-1], groups=None if of is None else of[::-1]
        )
        assert [sorted(199 - number for number in part) for part in turned] == list(parts)
        assert split(texts, str, seed=2, classes=classes, groups=of) != parts
    # Where copies contradict one another the text has the class most of them say.
    odd = split([*texts, texts[0]], str, seed=1, classes=[*classes, "zz"])
    other = split([texts[0], *texts], str, seed=1, classes=["zz", *classes])
    assert {number % 200 for number in odd.test} == {(number - 1) % 200 for number in other.test}


def test_rare_classes_are_on_both_sides_while_that_changes_little() -> None:
    classes = mixed(200, {"two": 2, "one": 1, "ten": 10})
    for seed in range(20):
        parts = split(texts_of(classes), str, seed=seed, classes=classes)
        assert [len(part) for part in parts] == [160, 20, 20]
        assert counts(parts.test, classes)["two"] == 1
        train = counts(parts.train, classes)
        assert (train["two"], train["one"]) == (1, 1)
        assert counts(parts.test, classes)["ten"] == 1
    # Were they all there, most of what is judged on would be of classes that hardly occur.
    rare = {f"rare {n}": 2 for n in range(30)}
    classes = mixed(200, rare)
    parts = split(texts_of(classes), str, seed=0, classes=classes)
    num_rare = 20 - counts(parts.test, classes)["a"]
    assert 6 <= num_rare <= 6 + 2 + 1
    assert set(counts(parts.train, classes)) == set(classes)
    # Of classes that all stand alone some must be judged on all the same.
    alone = [str(number) for number in range(100)]
    assert [len(part) for part in split(alone, str, seed=0, classes=alone)] == [80, 10, 10]


def num_apart(texts: Sequence[str], groups: Sequence[str]) -> int:
    """Groups, those that have a text in common as one."""
    apart = {name: name for name in groups}
    for text in set(texts):
        near = {apart[name] for other, name in zip(texts, groups, strict=True) if other == text}
        apart = {name: min(near) if one in near else one for name, one in apart.items()}
    return len(set(apart.values()))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from("abbbcccccc")),
        min_size=60,
        max_size=200,
    ),
    st.integers(0, 3),
    st.booleans(),
)
def test_groups_are_never_on_two_sides(
    rows: list[tuple[int, int, str]], seed: int, shares_texts: bool
) -> None:
    texts = [f"text {row[0]}" for row in rows]
    groups = [f"group {row[1]}" for row in rows]

    def shared(text: str) -> list[str]:
        return [text[-1]] if shares_texts else []

    classes = [row[2] for row in rows]
    assume(num_apart(texts, groups) >= 3 and len(set(texts)) >= 10)
    parts = split(texts, str, seed=seed, groups=groups, classes=classes, shared=shared)
    assert sorted([*parts.train, *parts.dev, *parts.test]) == list(range(len(rows)))
    assert all(parts)
    for of in (groups, texts):
        sides = [{of[number] for number in part} for part in parts]
        assert len(set(of)) == sum(map(len, sides))


def test_few_large_groups_are_divided_as_wholes() -> None:
    texts = [f"text {number}" for number in range(100)]
    patients = ["张三", "李四", "王五", "赵六", "钱七"]
    parts = split(texts, str, seed=0, groups=[patients[number % 5] for number in range(100)])
    assert [len(part) for part in parts] == [60, 20, 20]
    # The smallest is taken where none has room.
    sizes = {"big": 55, "middle": 30, "small": 15}
    groups = [name for name, n in sizes.items() for _ in range(n)]
    for seed in range(5):
        parts = split(texts, str, seed=seed, groups=groups)
        assert {groups[number] for number in parts.test} == {"small"}
        assert {groups[number] for number in parts.dev} == {"middle"}
    # Two that would have room together leave one for the rows to choose by.
    parts = split(texts[:15], str, seed=0, groups=["big"] * 13 + ["one", "other"])
    assert sorted(map(len, parts)) == [1, 1, 13]
    # A large group comes no sooner than a small one.
    groups = ["big"] * 10 + [f"other {number}" for number in range(90)]
    first = [split(texts, str, seed=seed, groups=groups).test[0] < 10 for seed in range(200)]
    assert sum(first) < 30
    with pytest.raises(DataError, match="at least 3 groups are needed"):
        split(texts, str, seed=0, groups=[f"{number % 2}" for number in range(100)])
    assert all(split(texts, str, seed=0, groups=[f"{n % 2}" for n in range(100)], test_share=0)[:2])
    # Copies make one of two groups.
    with pytest.raises(DataError, match="got 3 groups, 2 of them apart"):
        split([*texts, texts[0]], str, seed=0, groups=[*(f"{n % 2}" for n in range(100)), "2"])


def chinese_reviews(path: Path) -> Path:
    """A hundred short texts of twenty writers, a tenth of them of a rare class."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["作者", "评论", "标签"])
        for number in range(100):
            label = "中评" if number % 10 == 9 else "好评" if number % 2 else "差评"
            table.writerow([f"读者{number % 20}", f"这本书第{number}页，{label[0]}", label])
    return path


def test_a_chinese_table_is_divided_by_writer_and_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = chinese_reviews(tmp_path / "评论.csv"), tmp_path / "out"
    asked = ["finetune", "classify", str(data), "--out", str(out), "--group", "作者"]
    assert main(asked) == 0
    how = (
        "The file was divided in three by a draw (seed 0): copies of an input are in one part, "
        "each class has its share of every part, and all rows of one `作者` are in one part "
        "(16 to learn from, 2 held out, 2 to judge on)."
    )
    few = "are of 2 different `作者`: fewer than 8 have no interval."
    printed = " ".join(capsys.readouterr().out.split())
    told = json.loads((out / "results.json").read_text("utf-8"))
    assert told["split"]["how"] == how
    assert told["rows"] == {"train": 80, "dev": 10, "test": 10}
    for text in (printed, (out / "README.md").read_text("utf-8")):
        assert how in text
        assert few in text
    page = (out / "report.html").read_text("utf-8")
    assert how.replace("`作者`", "<code>作者</code>") in page
    assert told["measures"][0]["low"] is None
    assert "redrawn:2 groups" in told["measures"][0]["signature"]
    writers = {row["评论"]: row["作者"] for row in read_rows(data)}
    lines = (out / "predictions.jsonl").read_text("utf-8").splitlines()
    predicted = [json.loads(line) for line in lines]
    judged = {row["asked"] for row in predicted}
    # Rows are found again in the file by their numbers there.
    assert all(read_rows(data)[row["row"] - 1]["评论"] == row["asked"] for row in predicted)
    known = {writers[text] for text in writers.keys() - judged}
    assert not {writers[text] for text in judged} & known
    # What was asked is kept, and another column is another task.
    assert main(asked) == 0
    assert main([*asked[:-2]]) == 1
    assert "was begun with group = '作者'" in capsys.readouterr().err


def test_a_folder_divided_without_a_look_at_classes_is_not_gone_on_with(
    make: Make, tmp_path: Path
) -> None:
    asked = Asked("classify", make("r.jsonl", reviews()), tmp_path / "out", method="majority")
    learn_application(asked)
    path = tmp_path / "out" / "application.json"
    record = json.loads(path.read_text())
    assert record.pop("by_class") is True
    path.write_text(json.dumps(record))
    with pytest.raises(RunError, match="was begun with by_class = False"):
        learn_application(asked)


def grouped_rows(num: int = 240, *, per: int = 8) -> list[Mapping[str, Any]]:
    """Of each author either all are easy or none is, of which the label alone tells."""
    return [
        {
            "author": number // per,
            "text": f"row {number}",
            "label": "yes" if number // per % 3 else "no",
        }
        for number in range(num)
    ]


def test_intervals_redraw_whole_groups(make: Make, tmp_path: Path) -> None:
    rows = grouped_rows(1600)
    data = make("r.jsonl", rows)

    def accuracy(name: str, group: str | None) -> dict[str, Any]:
        told = learn_application(
            Asked("classify", data, tmp_path / name, method="majority", group=group)
        )
        entry: dict[str, Any] = told["measures"][0]
        return entry

    one, other = accuracy("rows", None), accuracy("groups", "author")
    assert other["num"] == 160
    assert "redrawn:20 groups" in other["signature"]
    # Twenty authors say hardly more than twenty rows.
    assert other["high"] - other["low"] > 2 * (one["high"] - one["low"])


@pytest.mark.parametrize("task", ["pair", "answer"])
def test_groups_take_what_a_task_redraws_together_with_them(make: Make, task: str) -> None:
    """Two passages of an article, or two first texts, are redrawn as one."""
    from homespun.recipes.applications.answer import Found
    from homespun.recipes.applications.judging import redrawn
    from homespun.recipes.applications.pair import Relation

    application = find_application(task)
    rows: list[Mapping[str, Any]] = [
        {
            "first": f"text {n // 2}",
            "second": f"claim {n}",
            "relation": "xyz"[n % 3],
            "question": f"who {n}?",
            "passage": f"It was p{n // 2}.",
            "answers": [f"p{n // 2}"],
        }
        for n in range(48)
    ]
    examples = application.settle([application.example(row) for row in rows])
    answers = [Found("p1", 7, 1.0) if task == "answer" else Relation("x") for _ in rows]
    measured = application.measure(examples, answers, np.random.default_rng(0))
    name = {"pair": "24 first texts", "answer": "24 passages"}[task]
    alone = redrawn(application, examples, measured)
    assert all(one.signature.endswith(f"redrawn:{name}") for one in alone.statistics)
    groups = [f"article {n // 4}" for n in range(48)]
    grouped = redrawn(application, examples, measured, groups)
    for one, row in zip(grouped.statistics, measured.statistics, strict=True):
        assert one.signature == f"{row.signature}|redrawn:12 groups"
        by_hand = [row.rows_NK[n : n + 4].sum(axis=0) for n in range(0, 48, 4)]
        assert one.rows_NK == pytest.approx(np.array(by_hand))
        assert one.num_measured == 48


def test_rows_to_judge_on_from_another_file_are_told_apart(make: Make, tmp_path: Path) -> None:
    rows = grouped_rows()
    data = make("r.jsonl", rows)
    test: list[Mapping[str, Any]] = [
        {**row, "text": f"new {row['text']}", "author": n} for n, row in enumerate(rows[:60])
    ]

    def told(name: str, some: list[Mapping[str, Any]]) -> dict[str, Any]:
        asked = Asked("classify", data, tmp_path / name, method="majority", group="author",
                      test=make(f"{name}.jsonl", some), judge_baselines=False)  # fmt: skip
        return learn_application(asked)

    found = told("known", test)
    assert found["split"]["groups"] == {"train": 27, "dev": 3, "test": 60}
    assert found["split"]["test_rows_of_known_groups"] == 30
    assert "divided in two" in found["split"]["how"]
    note = "Of 30 of the 60 rows it was judged on, other rows of the same `author` were learned"
    assert any(line.startswith(note) for line in found["notes"])
    bare: list[Mapping[str, Any]] = [{"text": row["text"], "label": row["label"]} for row in test]
    lacking = told("lacking", bare)
    assert "test" not in lacking["split"]["groups"]
    assert any("is not known: the file of these" in line for line in lacking["notes"])


def test_classes_that_nothing_was_judged_on_are_told(make: Make, tmp_path: Path) -> None:
    rows = [*reviews(), {"text": "a film in between", "label": "middling"}]
    told = learn_application(
        Asked("classify", make("r.jsonl", rows), tmp_path / "out", method="majority")
    )
    assert told["classes_not_in_test"] == {"middling": 1}
    note = "Of the classes it learned 1 is in no row it was judged on"
    assert sum(line.startswith(note) for line in told["notes"]) == 1
    assert "how it does on middling." in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_a_column_of_groups_that_is_none_is_told(make: Make, tmp_path: Path) -> None:
    task = find_application("classify")

    def read(rows: list[Mapping[str, Any]], group: str) -> None:
        read_parts(task, make("r.jsonl", rows), None, RowReader(group=group), seed=0)

    rows = grouped_rows()
    with pytest.raises(DataError, match="whom or what a row is of: autor") as told:
        read(rows, "autor")
    assert "did you mean 'author'" in str(told.value)
    with pytest.raises(DataError, match="by what is to be learned of them"):
        read(rows, "label")
    with pytest.raises(DataError, match=r"row 3 of .* has no author"):
        read([*rows[:2], {**rows[2], "author": " "}, *rows[3:]], "author")
    with pytest.raises(DataError, match=r"row 3 of .* has more than one author"):
        read([*rows[:2], {**rows[2], "author": ["a", "b"]}, *rows[3:]], "author")
    # Numbers that a program made of a column with empty cells are the same numbers.
    # Blanks around a name make no other of it: its rows would be on both sides.
    for written in (float, " {} ".format):
        half = [{**row, "author": written(row["author"])} for row in rows[::2]]
        parts = read_parts(
            task, make("r.jsonl", [*rows[1::2], *half]), None, RowReader(group="author"), seed=0
        )
        assert sum(parts.facts["split"]["groups"].values()) == 30


def test_documents_and_articles_are_groups(tmp_path: Path) -> None:
    conll = tmp_path / "a.conll"
    conll.write_text("-DOCSTART- O\n\nAnn B-PER\n\nruns O\n-DOCSTART- O\n她 O\n", "utf-8")
    assert [row["document"] for row in read_rows(conll)] == ["1", "1", "2"]
    conllu = tmp_path / "a.conllu"
    line = "1\t我\t_\tPRON\tPN\n\n"
    conllu.write_text(f"# newdoc id = x\n# sent_id = 1\n{line}{line}# newdoc\n{line}", "utf-8")
    assert [row["document"] for row in read_rows(conllu)] == ["1", "1", "2"]
    conll.write_text("Ann B-PER\n")
    assert "document" not in read_rows(conll)[0]
    nested = tmp_path / "a.json"
    ask = {"question": "who?", "answers": [{"text": "p", "answer_start": 0}]}
    articles = [
        {"title": title, "paragraphs": [{"context": f"p{n}", "qas": [ask]} for n in range(2)]}
        for title in ("青海湖", "Lakes")
    ]
    nested.write_text(json.dumps({"data": articles}), "utf-8")
    assert [row["title"] for row in read_rows(nested)] == ["青海湖"] * 2 + ["Lakes"] * 2


def test_tasks_learned_beside_have_groups_of_their_own(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    from homespun.cli.commands.tasks.learn import parse_also

    assert parse_also(["pair=p.csv,test=q.csv,group=who,first=a"]) == [
        ("pair", Path("p.csv"), Path("q.csv"), "who", "first=a")
    ]
    rows: list[Mapping[str, Any]] = [
        {**row, "who": number // 4} for number, row in enumerate(reviews())
    ]
    also = Also("classify", make("o.jsonl", rows), group="who")
    asked = Asked("classify", make("r.jsonl", reviews()), tmp_path / "out", base=tiny_bert,
                  options={"epochs": "0.1"}, judge_baselines=False, also=[also])  # fmt: skip
    learn_application(asked)
    told = json.loads((tmp_path / "out" / "also-1-classify" / "results.json").read_text())
    assert told["split"]["group"] == "who"
    record = json.loads((tmp_path / "out" / "also-1-classify" / "application.json").read_text())
    assert record["group"] == "who"
    with pytest.raises(DataError, match="did you mean 'who'"):
        learn_application(asked._replace(out=tmp_path / "x", also=[also._replace(group="whom")]))
