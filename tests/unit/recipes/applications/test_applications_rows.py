"""Files of every format as rows, columns by their names, parts that copies do not straddle."""

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from homespun.core import ConfigError, DataError
from homespun.recipes.applications import (
    Also,
    Asked,
    find_application,
    learn_application,
    open_application,
)
from homespun.recipes.applications.reading import RowReader, read_examples
from homespun.recipes.applications.rows import (
    Column,
    find,
    iter_rows,
    parse_columns,
    pick,
    read_rows,
)
from homespun.recipes.applications.splitting import num_seen, split

TEXT = Column("text", ("review", "文本"), "the text")
LABEL = Column("label", ("class",), "the class")


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    wanted = [{"text": "A, b", "label": "x"}, {"text": "你好", "label": "y"}]
    (tmp_path / "a.csv").write_text('text,label\n"A, b",x\n\n你好,y\n', "utf-8-sig")
    (tmp_path / "a.tsv").write_text("text\tlabel\nA, b\tx\n你好\ty\n", "utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in wanted), "utf-8")
    (tmp_path / "a.json").write_text(json.dumps({"data": wanted}), "utf-8")
    packed = gzip.compress((tmp_path / "a.csv").read_bytes())
    (tmp_path / "b.csv.gz").write_bytes(packed)
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(wanted), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert read_rows(path) == wanted, path


def test_tagged_words_a_line(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\n\nAnn B-PER\nruns O\n-DOCSTART- O\n她 O\n"
    (tmp_path / "a.conll").write_text(text, "utf-8")
    assert read_rows(tmp_path / "a.conll") == [
        {"tokens": ["Ann", "runs"], "tags": ["B-PER", "O"], "document": "1"},
        {"tokens": ["她"], "tags": ["O"], "document": "2"},
    ]
    line = "{}\t{}\t_\t{}\t{}\t_\t_\t_\t_\t_\n"
    text = "# a comment\n" + line.format("1-2", "don't", "_", "_")
    text += line.format(1, "do", "AUX", "VBP") + line.format(2, "n't", "PART", "RB") + "\n"
    (tmp_path / "a.conllu").write_text(text, "utf-8")
    (row,) = read_rows(tmp_path / "a.conllu")
    assert (row["tokens"], row["tags"], row["xpos"]) == (
        ["do", "n't"],
        ["AUX", "PART"],
        ["VBP", "RB"],
    )


def test_what_stands_before_a_sentence_is_no_word_of_it(tmp_path: Path) -> None:
    text = "# sent_id = 1\n# text = Ann runs\nAnn\tB-PER\t\nruns\tO \n\n"
    text += "# id 4f-2\tdomain=en\nBob _ _ B-PER\n# _ _ O\n\n#a=b\tO\n#\tO\n"
    (tmp_path / "a.conll").write_text(text, "utf-8")
    assert read_rows(tmp_path / "a.conll") == [
        {"tokens": ["Ann", "runs"], "tags": ["B-PER", "O"]},
        {"tokens": ["Bob", "#"], "tags": ["B-PER", "O"]},
        {"tokens": ["#a=b", "#"], "tags": ["O", "O"]},
    ]
    (tmp_path / "a.conll").write_text("Ann\tO\nruns\t\t\n", "utf-8")
    with pytest.raises(DataError, match=r"line 2 .* no tag"):
        read_rows(tmp_path / "a.conll")


def test_an_empty_last_cell_is_no_tag_and_neither_is_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("I\tPRP\tO\n\nEU\tNNP\tB-ORG\nrejects\tVBZ\t\n", "utf-8")
    with pytest.raises(DataError, match=r"line 4 .* no tag.*3 columns"):
        read_rows(path)
    assert read_rows(path, with_gold=False)[1]["tokens"] == ["EU", "rejects"]
    path.write_text("EU\tNNP\tB-ORG\t\nrejects\tVBZ\tO\t\t\n\nNo\tO\t\n", "utf-8")
    assert [row["tags"] for row in read_rows(path)] == [["B-ORG", "O"], ["O"]]


def test_a_tagged_hash_at_the_beginning_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("#\tid\tO\nx\tid\tO\n", "utf-8")
    assert read_rows(tmp_path / "a.conll")[0]["tokens"] == ["#", "x"]


def test_numbers_as_names_mean_a_file_without_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,A\ny,B\n")
    names = parse_columns("text=2, label=1", [TEXT, LABEL])
    rows = read_rows(tmp_path / "a.csv", names=names)
    assert pick(rows, TEXT, names, where="a") == ["A", "B"]
    assert pick(rows, LABEL, names, where="a") == ["x", "y"]


def test_columns_are_found_by_usual_names_in_any_case() -> None:
    rows = [{"Review ": "A", "n": 1}]
    assert find(rows, TEXT, {}) == "Review "
    assert find([{"文本": "A"}], TEXT, {}) == "文本"
    assert find(rows, TEXT, {"text": "n"}) == "n"
    assert find(rows, LABEL, {}) is None


def test_standard_input_is_lines_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('\ufeff{"text": "json"}\n\nplain\n'))
    assert read_rows(Path("-")) == [{"text": "json"}, {"text": ""}, {"text": "plain"}]
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        read_rows(Path("-"))


def test_what_is_only_answered_keeps_blank_lines_and_needs_no_tags(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert [row["text"] for row in read_rows(tmp_path / "a.txt")] == ["one", "two"]
    kept = read_rows(tmp_path / "a.txt", with_gold=False)
    assert [row["text"] for row in kept] == ["one", "", "two"]
    (tmp_path / "a.conll").write_text("Ann\nruns\n")
    assert read_rows(tmp_path / "a.conll", with_gold=False)[0]["tokens"] == ["Ann", "runs"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "a,b\n1,2,3\n", "line 2 .* 3 columns in place of 2"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "line 2 .* not valid JSON"),
        ("a.jsonl", "[1]\n", "not a JSON object"),
        ("a.json", "3", "not a list"),
        ("a.json", "{", "not valid JSON"),
        ("a.conll", "Ann\n", "line 1 .* no tag"),
        ("a.xlsx", "", "format that is not read"),
        ("a.csv.gz", "no gzip", "not a whole gzip"),
        ("a.parquet", "no parquet", "not a Parquet"),
        ("a.csv", 'a,b\n1,"x\n2,y\n', "unexpected end of data"),
        ("a.csv", "a,b,a\n1,2,3\n", "two columns of one name"),
        ("a.conllu", "1\tAnn\tAnn\n", "no tag"),
        ("a.conll", "Ann B-PER\nruns\n", "line 2 .* no tag"),
    ],
)
def test_broken_files_are_told(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=says):
        read_rows(tmp_path / name)


def test_other_wrong_input_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_rows(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"text\n\xe9\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_rows(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="no column for the text: text or review"):
        pick([{"a": 1}], TEXT, {}, where="f")
    with pytest.raises(DataError, match="as text=1, where the first line holds no names"):
        pick([{"Hi.": "嗨。"}], TEXT, {}, where="f")
    with pytest.raises(DataError, match="did you mean 'body'"):
        pick([{"body": 1}], TEXT, {"text": "bodi"}, where="f")
    for nothing in ("", None, float("nan")):
        with pytest.raises(DataError, match="row 2 of f has no text"):
            pick([{"text": "a"}, {"text": nothing}], TEXT, {}, where="f")
    with pytest.raises(DataError, match="NAME=COLUMN"):
        parse_columns("text", [TEXT])
    with pytest.raises(DataError, match="no column 'txt'"):
        parse_columns("txt=a", [TEXT])


def test_copies_lie_in_one_part_and_order_does_not_matter() -> None:
    examples = [f"text {n % 40}" for n in range(200)]
    parts = split(examples, str, seed=3)
    sides = [{examples[n] for n in part} for part in parts]
    assert len(sides[0] | sides[1] | sides[2]) == sum(map(len, sides))
    assert [len(side) for side in sides] == [32, 4, 4]
    turned = split(examples[::-1], str, seed=3)
    assert {examples[::-1][n] for n in turned.test} == sides[2]
    assert {examples[n] for n in split(examples, str, seed=4).test} != sides[2]
    many = split([str(n) for n in range(80_000)], str, seed=0)
    assert (len(many.test), len(many.dev)) == (5000, 1000)
    assert num_seen(["a", "b"], ["b", "c", "B ", " b"], str) == 3
    spaced = split([f"{n % 20}  x" if n % 2 else f"{n % 20} X" for n in range(40)], str, seed=0)
    assert sum(map(len, spaced)) == 40
    with pytest.raises(DataError, match="at least 10"):
        split(["a"] * 50, str, seed=0)


def test_rows_with_a_right_text_in_common_are_in_one_part() -> None:
    """One that learned "Hallo" beside "Hello" has seen the answer to "Hi"."""
    rows = [(f"source {n}", f"target {n // 3}") for n in range(300)]
    # A row that hangs together with two others by two right texts.
    rows += [("both", "target 5"), ("both", "target 6")]

    def read(row: tuple[str, str]) -> str:
        return row[0]

    def shared(row: tuple[str, str]) -> list[str]:
        return [row[1]]

    parts = split(rows, read, shared=shared, seed=1)
    assert 25 <= len(parts.test) <= 30
    assert 25 <= len(parts.dev) <= 30
    targets = [{rows[n][1] for n in part} for part in parts]
    assert not (targets[0] & targets[1])
    assert not (targets[0] & targets[2])
    assert not (targets[1] & targets[2])
    where = {
        name: next(k for k, part in enumerate(targets) if name in part)
        for name in ("target 5", "target 6")
    }
    assert len(set(where.values())) == 1
    # Without anything in common the draw is that of what is to read alone.
    alone = [(f"source {n}", f"target {n}") for n in range(300)]
    assert split(alone, read, shared=shared, seed=1) == split(alone, read, seed=1)
    # Two right texts for all rows cannot be kept apart, and nothing is left to judge on if tried.
    two = [(f"source {n}", f"target {n % 2}") for n in range(300)]
    assert split(two, read, shared=shared, seed=1) == split(two, read, seed=1)


@pytest.mark.parametrize("share", [0.1, 0.0])
def test_what_cannot_all_be_kept_apart_is_kept_apart_as_far_as_it_can(share: float) -> None:
    rows = [(f"premise {n // 3}", f"claim {n} {n % 3}", f"kind {n % 3}") for n in range(300)]

    def read(row: tuple[str, ...]) -> str:
        return " ".join(row)

    def parts_of(shared: Sequence[int], at_least: Sequence[int] | None) -> list[set[str]]:
        """The premises on each side."""
        parts = split(
            rows,
            read,
            seed=1,
            shared=lambda row: [row[at] for at in shared],
            at_least=None if at_least is None else lambda row: [row[at] for at in at_least],
            test_share=share,
        )
        return [{rows[number][0] for number in part} for part in parts]

    for shared, at_least in (((0, 1), (0,)), ((0, 2), (0,))):
        train, dev, test = parts_of(shared, at_least)
        assert len(dev) == 10
        assert len(test) == 100 * share
        assert not train & dev
        assert not train & test
        assert not dev & test
    # Nothing says what matters most, or it is one text for all: what is read whole is kept apart.
    for nothing in (None, (2,)):
        train, dev, _ = parts_of((0, 2), nothing)
        assert train & dev


def test_what_little_can_be_kept_apart_does_not_speak_for_all() -> None:
    """Half of the rows have one text in common: judged on the others alone, nobody would know."""
    rows = [(f"first {n}", "no" if n % 2 else f"yes {n}") for n in range(200)]

    def sides(at_least: bool) -> list[tuple[str, str]]:
        parts = split(
            rows,
            " ".join,
            seed=0,
            shared=lambda row: row,
            at_least=(lambda row: row[:1]) if at_least else None,
        )
        return [rows[number] for number in parts.test]

    assert not any(second == "no" for _, second in sides(False))
    assert any(second == "no" for _, second in sides(True))
    assert any(second != "no" for _, second in sides(True))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_blank_rows_of_tables_stay_where_they_are_only_answered(
    tmp_path: Path, newline: str
) -> None:
    path = tmp_path / "a.csv"
    lines = ["", "text,label", "", "a,x", "", " , ", "b,y", ""]
    path.write_text(newline.join(lines) + newline, "utf-8", newline="")
    blank = {"text": "", "label": ""}
    a, b = {"text": "a", "label": "x"}, {"text": "b", "label": "y"}
    assert read_rows(path, with_gold=False) == [blank, a, blank, blank, b, blank]
    assert read_rows(path) == [a, b]
    path.write_text("\na,x\n\nb,y\n")
    names = {"text": "1"}
    found = [row["1"] for row in read_rows(path, names=names, with_gold=False)]
    assert found == ["", "a", "", "b"]


def test_columns_without_a_name_hold_nothing_or_are_told(tmp_path: Path) -> None:
    path = tmp_path / "spam.csv"
    path.write_text('v1,v2,,,\nham,"Ok, see you",,,\nspam,Free entry, ,,\n')
    rows = read_rows(path)
    assert rows == [{"v1": "ham", "v2": "Ok, see you"}, {"v1": "spam", "v2": "Free entry"}]
    names = {"label": "v1", "text": "v2"}
    assert pick(rows, LABEL, names, where="f") == ["ham", "spam"]
    path.write_text('v1,v2,,,\nham,Ok,,,\n\nham,"He said",,"""ok"" to me",\n')
    with pytest.raises(DataError, match=r"column 4 of .* has no name, and line 4 has") as told:
        read_rows(path)
    assert '(got "ok" to me)' in str(told.value)
    assert "give it a name" in str(told.value)
    # The lines still have as many cells as the first.
    path.write_text("v1,v2,,\nham,Ok\n")
    with pytest.raises(DataError, match="has 2 columns in place of 4"):
        read_rows(path)
    # Numbers of rows stand in front without a name, with others behind or not.
    path.write_text(",v1,v2\n0,ham,Ok\n")
    assert read_rows(path) == [{"": "0", "v1": "ham", "v2": "Ok"}]
    path.write_text(",v1,v2,,\n0,ham,Ok,,\n")
    assert read_rows(path) == [{"": "0", "v1": "ham", "v2": "Ok"}]
    # What is only answered keeps its blank rows, and tables parted by tabs are the same.
    (tmp_path / "a.tsv").write_text("v1\tv2\t\t\n\nham\tOk\t\t\n")
    blank, row = read_rows(tmp_path / "a.tsv", with_gold=False)
    assert (blank, row) == ({"v1": "", "v2": ""}, {"v1": "ham", "v2": "Ok"})
    # Without a line of names every column has its number.
    path.write_text("ham,Ok,,\n")
    assert read_rows(path, names={"text": "2"}) == [{"1": "ham", "2": "Ok", "3": "", "4": ""}]
    path.write_text("v1,v2,,v1,\nham,Ok,,x,\n")
    with pytest.raises(DataError, match=r"two columns of one name \(got v1\)"):
        read_rows(path)


def test_what_a_spreadsheet_leaves_is_told_with_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text;label\na;x\n")
    with pytest.raises(DataError, match="with commas in place of semicolons"):
        pick(read_rows(path), TEXT, {}, where=str(path))
    path.write_text("text\tlabel\na\tx\n")
    with pytest.raises(DataError, match=r"let its own name end in \.tsv"):
        pick(read_rows(path), TEXT, {}, where=str(path))
    path.write_text("text\tlabel\na, b\tx\n")
    with pytest.raises(DataError, match=r"2 columns in place of 1.*end in \.tsv"):
        read_rows(path)
    other = tmp_path / "a.tsv"
    other.write_text("text,label\na,x\n")
    with pytest.raises(DataError, match=r"let its own name end in \.csv"):
        pick(read_rows(other), TEXT, {}, where=str(other))
    path.write_text('text,label\n"a,x\nb,y\n')
    with pytest.raises(DataError, match="close the quotation mark"):
        read_rows(path)
    path.write_text("text,label\n好,x\n", "gb18030")
    with pytest.raises(DataError, match=r"iconv -f GB18030 -t UTF-8 .*a\.csv > new\.csv"):
        read_rows(path)


@pytest.mark.parametrize("odd", ["nan", "inf", "-Infinity"])
def test_a_score_that_is_no_number_does_not_make_classes_of_all(odd: str) -> None:
    from homespun.recipes.applications import find_application

    task = find_application("pair")

    def settled(relations: list[str]) -> list[object]:
        rows = [{"first": "a", "second": "b", "relation": one} for one in relations]
        return [example.relation for example in task.settle([task.example(row) for row in rows])]

    with pytest.raises(DataError, match="1 of the relations, which are numbers, are none"):
        settled(["0.5", odd, "2"])
    assert settled(["0.5", "2"]) == [0.5, 2.0]
    assert settled([odd, "same"]) == [odd, "same"]
    assert settled(["1", odd, "same"]) == ["1", odd, "same"]


def test_columns_may_have_their_usual_chinese_names(tmp_path: Path) -> None:
    rows = {
        "classify": {"评论": "好", "类别": "甲"},
        "pair": {"前提": "甲", "假设": "乙", "关系": "中立"},
        "answer": {"问题": "谁？", "段落": "是他。", "答案": "他"},
        "embed": {"问题": "谁？", "回答": "他。"},
        "translate": {"原文": "甲", "译文": "a"},
        "summarise": {"正文": "甲乙丙。", "标题": "甲"},
        "segment": {"文本": "甲乙", "分词": "甲 乙"},
    }
    for task, row in rows.items():
        path = tmp_path / f"{task}.jsonl"
        path.write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
        assert len(read_examples(find_application(task), path, RowReader())) == 1


def test_a_table_without_its_ending_is_told_how_to_be_named(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("text,label\na,1\n")
    with pytest.raises(DataError, match=r"a table's name ends in \.csv or \.tsv"):
        read_examples(find_application("classify"), table, RowReader())


def test_a_column_of_a_further_task_is_named_behind_its_file(tmp_path: Path) -> None:
    main, other = tmp_path / "main.jsonl", tmp_path / "other.csv"
    rows = [{"first": f"a {n}", "second": f"b {n}", "relation": str(n % 2)} for n in range(40)]
    main.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other.write_text("review,stars\na,1\n")
    asked = Asked("pair", main, tmp_path / "out", also=[Also("classify", other)])
    with pytest.raises(DataError) as told:
        learn_application(asked)
    assert f"say which one it is: --also classify={other},label=NAME" in str(told.value)


def test_a_folder_of_another_task_is_told_with_what_is_wanted(tmp_path: Path) -> None:
    rows = [{"text": f"a {n}", "label": str(n % 2)} for n in range(40)]
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    learn_application(Asked("classify", data, out, method="majority", judge_baselines=False))
    with pytest.raises(ConfigError, match="name a folder that `homespun finetune embed` wrote"):
        open_application(out, task="embed")


@pytest.mark.parametrize("at", [10, -5])
def test_a_packed_file_that_was_damaged_on_its_way_is_told(tmp_path: Path, at: int) -> None:
    """Whether in what was packed, or in the sum behind it."""
    lines = "".join(f"{n * n},x\n" for n in range(2000))
    packed = bytearray(gzip.compress(f"text,label\n{lines}".encode()))
    packed[at] ^= 0xFF
    (tmp_path / "a.csv.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.csv\.gz is not a whole gzip file; fetch it again"):
        read_rows(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "-"])
def test_half_of_a_surrogate_pair_is_no_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As of a tweet that was cut within an emoji; a whole pair is one."""
    row = r'{"text": "so \ud83d", "tokens": ["\ude00", "\ud83d\ude00"], "more": {"text": "\udc80"}}'
    path = tmp_path / name
    path.write_text(f"[{row}]" if name == "a.json" else row, "utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(row + "\n"))
    (found,) = read_rows(path if name != "-" else Path("-"))
    assert found == {"text": "so \ufffd", "tokens": ["\ufffd", "😀"], "more": {"text": "\ufffd"}}


def test_a_wide_or_an_unbreakable_space_is_a_word_with_a_tag(tmp_path: Path) -> None:
    """As in files of Chinese characters, one a line."""
    (tmp_path / "a.bio").write_text("我 O\n　 O\n京 B-LOC \n\n\xa0  O\nAnn\xa0B-PER\n", "utf-8")
    assert read_rows(tmp_path / "a.bio") == [
        {"tokens": ["我", "　", "京"], "tags": ["O", "O", "B-LOC"]},
        {"tokens": ["\xa0", "Ann"], "tags": ["O", "B-PER"]},
    ]


def test_sentences_are_told_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies far behind in a large file is not in memory yet."""

    def lines() -> Iterator[str]:
        yield from ("Ann B-PER\n", "\n")
        raise AssertionError("read too far")

    where = "homespun.recipes.applications.rows._opened"
    monkeypatch.setattr(where, lambda *_: nullcontext(lines()))
    assert next(iter_rows(tmp_path / "a.conll"))["tokens"] == ["Ann"]


def test_a_parquet_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"text": f"{n}", "tags": ["a"] * (n % 3)} for n in range(10)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=4)

    def reads_all(*words: object, **more: object) -> None:
        raise AssertionError("all of it at once")

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read", reads_all)
    assert list(iter_rows(path)) == rows


def test_cells_in_quotation_marks_between_tabs_are_read_as_they_were_written(
    tmp_path: Path,
) -> None:
    """As pandas writes them, and R, which has all text in marks."""
    path = tmp_path / "a.tsv"

    def read(text: str) -> list[object]:
        path.write_text(text, "utf-8")
        return [list(row.values()) for row in read_rows(path)]

    assert read('a\tb\n"He said ""no"""\tx\nso\ty\n') == [['He said "no"', "x"], ["so", "y"]]
    assert read('a\tb\n"two\nlines"\tx\n\n"a\ttab"\ty\n') == [["two\nlines", "x"], ["a\ttab", "y"]]
    assert read('"a"\t"b"\n"so"\t"x"\n') == [["so", "x"]]
    assert read('\ufeff"a"\t"b"\r\n"so"\t"x"\r\n') == [["so", "x"]]
    # Marks are the text's own: where nothing asks for others, or one is not closed.
    assert read('a\tb\n"No"\tx\n') == [['"No"', "x"]]
    assert read('a\tb\n"I came.\tx\nI saw."\ty\n') == [['"I came.', "x"], ['I saw."', "y"]]
    assert read('a\tb\n"No" he said\tx\nHe said ""\ty\n"So ""\tz\n') == [
        ['"No" he said', "x"],
        ['He said ""', "y"],
        ['"So ""', "z"],
    ]
    with gzip.open(tmp_path / "a.tsv.gz", "wt", encoding="utf-8") as file:
        file.write('a\tb\n"He said ""no"""\tx\n')
    assert read_rows(tmp_path / "a.tsv.gz") == [{"a": 'He said "no"', "b": "x"}]


@pytest.mark.parametrize(("task", "gold"), [("classify", "label"), ("pair", "relation")])
def test_one_and_one_with_a_point_are_one_class(task: str, gold: str) -> None:
    """A program that met an empty cell writes whole numbers as broken ones: one file of two."""
    found = find_application(task)

    def settled(labels: list[object]) -> list[object]:
        row = {"text": "a", "first": "a", "second": "b"}
        examples = found.settle([found.example({**row, gold: one}) for one in labels])
        told = [found.right(example) for example in examples]
        return [one.get(gold, one.get("labels")) for one in told]

    assert settled(["0", "1.0", "-1", "1"]) == ["0", "1", "-1", "1"]
    assert settled(["1.0", "0.0"]) == ["1.0", "0.0"]  # as they are written
    assert settled(["1", "01", "1.0"]) == ["1", "01", "1"]
    assert settled(["1", "1.0", "two"]) == ["1", "1.0", "two"]
    if task == "classify":  # versions, and several a text
        assert settled(["1", "1.0", "1.5"]) == ["1", "1.0", "1.5"]
        assert settled([["1", "1.0", "2"], ["2.0"]]) == [["1", "2"], ["2"]]
