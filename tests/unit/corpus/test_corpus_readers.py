"""Files of every kind become documents; what cannot be read is named and passed over."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard
from corpus_files import read

from homespun.core import DataError
from homespun.corpus.sources import archives
from homespun.corpus.sources import files as kinds
from homespun.corpus.sources.files import find_files
from homespun.corpus.sources.formats import tables
from homespun.corpus.sources.items import ReadLog, Rejected, SourceFile
from homespun.corpus.sources.read import read_file


def _texts(root: Path) -> dict[str, str]:
    return {document.doc_id: document.text for document in read(root)[0]}


def test_a_folder_is_read_sorted_and_hidden_or_program_folders_are_not(tmp_path: Path) -> None:
    for name in ("b.txt", "a/2.txt", "a/10.txt", ".hidden.txt", ".git/x.txt", "node_modules/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "sample.txt").write_text("text of a run")
    documents, _, _ = read(tmp_path)
    assert [d.doc_id for d in documents] == ["b.txt", "a/10.txt", "a/2.txt"]
    assert [d.source for d in documents] == ["src", "src/a", "src/a"]


def test_folders_of_our_own_are_passed_over_with_a_note_and_others_are_not(tmp_path: Path) -> None:
    marks = {
        "run/run.json": "{}",
        "learned/application.json": '{"task": "answer", "method": "oracle"}',
        "asked/asked.json": '{"command": "ngrams"}',
        "spring/application.json": '{"server": {"port": 8080}}',
        "list/application.json": "[1]",
        "damaged/asked.json": "{",
    }
    for name, mark in marks.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(mark)
        (tmp_path / name).with_name("a.txt").write_text("text")
    documents, _, log = read(tmp_path)
    assert [d.doc_id for d in documents] == ["damaged/a.txt", "list/a.txt", "spring/a.txt"]
    assert [note.partition(":")[0] for note in log.notes] == ["asked", "learned", "run"]


def test_links_to_folders_pipes_and_the_output_folder_are_passed_over(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "loop").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe.txt")
    (inside / "out").mkdir()
    (inside / "out" / "x.txt").write_text("x")
    (inside / "a.txt").write_text("a")
    excluded = (inside / "out").resolve()
    log = ReadLog()
    found = find_files(inside, source="s", prefix="p/", excluded=excluded, log=log)
    assert [file.doc_id for file in found] == ["p/a.txt"]
    assert log.notes == ["loop: passed over, as it is a link to a folder"]


@pytest.mark.parametrize("suffix", ["txt", "md", "rst", "html", "py", "tex"])
def test_plain_kinds_give_one_document(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"x.{suffix}").write_text("Some words of text.")
    (document,) = read(tmp_path)[0]
    assert document.text.strip() == "Some words of text."
    assert document.language == ("code" if suffix == "py" else "und")


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("压缩的文字".encode()))
    (tmp_path / "b.jsonl.zst").write_bytes(
        zstandard.ZstdCompressor().compress(b'{"text": "packed rows"}\n')
    )
    (tmp_path / "c.txt.bz2").write_bytes(bz2.compress("分两次".encode()) + bz2.compress(b" of it"))
    (tmp_path / "d.md.xz").write_bytes(lzma.compress(b"# Packed\n\nby xz"))
    (tmp_path / "e.TXT.XZ").write_bytes(lzma.compress(b"in capitals"))
    assert _texts(tmp_path) == {
        "a.txt.gz": "压缩的文字",
        "b.jsonl.zst#0000001": "packed rows",
        "c.txt.bz2": "分两次 of it",
        "d.md.xz": "# Packed\n\nby xz",
        "e.TXT.XZ": "in capitals",
    }


def test_a_file_that_was_cut_off_is_named_whatever_packed_it(tmp_path: Path) -> None:
    text = "".join(f"Line {n} of a long text.\n" for n in range(30_000)).encode()
    packed = zstandard.ZstdCompressor().compress(text)
    (tmp_path / "a.txt.zst").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.txt.zst").write_bytes(packed[:-1])
    (tmp_path / "c.txt.zst").write_bytes(packed + packed[:9])
    (tmp_path / "d.txt.zst").write_bytes(packed + packed)
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(text)[:-9])
    (tmp_path / "f.txt.bz2").write_bytes(bz2.compress(text)[:-9])
    (tmp_path / "g.txt.xz").write_bytes(lzma.compress(text)[:-9])
    documents, _, log = read(tmp_path)
    assert [row["path"] for row in log.unreadable] == [
        "a.txt.zst",
        "b.txt.zst",
        "c.txt.zst",
        "e.txt.gz",
        "f.txt.bz2",
        "g.txt.xz",
    ]
    assert "cut off" in log.unreadable[0]["why"]
    whole = [d.text for d in documents if d.doc_id.startswith("d.txt.zst")]
    assert "".join(whole).encode() == text + text


def test_a_bomb_is_refused_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MIN_EXPANDED", 1000)
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"a" * 3_000_000))
    _, _, log = read(tmp_path)
    assert log.unreadable[0]["path"] == "bomb.txt.gz"
    assert "more than 200 times" in log.unreadable[0]["why"]
    (tmp_path / "bomb.txt.gz").unlink()
    for suffix, pack in (("zst", zstandard.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        path = tmp_path / f"bomb.txt.{suffix}"
        path.write_bytes(pack(b"a" * 3_000_000))
        assert "more than 200 times" in read(tmp_path)[2].unreadable[0]["why"]
        path.unlink()


def test_a_packed_bomb_takes_no_memory_before_it_is_refused(tmp_path: Path) -> None:
    pieces = bz2.BZ2Compressor()
    bomb = b"".join(pieces.compress(b"a" * (1 << 20)) for _ in range(80)) + pieces.flush()
    names = ["bomb.tar", "bomb.tar.bz2", "bomb.txt.bz2"]
    for name in names:
        (tmp_path / name).write_bytes(bomb)
    tracemalloc.start()
    try:
        _, _, log = read(tmp_path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row["path"] for row in log.unreadable] == names
    assert most < 40 << 20


def test_a_zip_that_lies_of_a_size_takes_no_memory(tmp_path: Path) -> None:
    """Bzip2, of which Python unpacks all that it reads at once: 46 MB for each forty bytes."""
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.txt", b"a" * (200 << 20))
    data = (tmp_path / "z.zip").read_bytes()
    told = struct.pack("<I", 200 << 20)
    assert data.count(told) == 2
    (tmp_path / "z.zip").write_bytes(data.replace(told, struct.pack("<I", 1000)))
    tracemalloc.start()
    try:
        documents, _, log = read(tmp_path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not documents
    assert "CRC" in log.unreadable[0]["why"]
    assert most < 150 << 20


def test_what_is_no_file_is_refused_when_it_is_named() -> None:
    with pytest.raises(DataError, match="neither a file nor a folder"):
        read(Path(os.devnull))  # as a pipe, which could not be read twice


@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz", "t.tar.xz", "t.tar.bz2", "t.tgz"])
def test_tar_members_are_read_in_place_and_unsafe_ones_are_not(tmp_path: Path, name: str) -> None:
    mode = {"gz": "w:gz", "xz": "w:xz", "bz2": "w:bz2", "tgz": "w:gz"}.get(
        name.rpartition(".")[2], "w"
    )
    with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
        for member, text in (
            ("书/一.txt", "第一本书的文字"),
            ("../out.txt", "outside"),
            ("/abs.txt", "absolute"),
            ("rows.jsonl", '{"text": "row"}'),
            (".hidden.txt", "hidden"),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert _texts(tmp_path) == {
        f"{name}/书/一.txt": "第一本书的文字",
        f"{name}/rows.jsonl#0000001": "row",
    }
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_zip_members_are_read_and_chinese_names_survive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("诗/静夜思.txt", "床前明月光")
        archive.writestr("../evil.txt", "no")
    assert _texts(tmp_path) == {"z.zip/诗/静夜思.txt": "床前明月光"}


def test_a_damaged_file_packed_by_bzip2_takes_no_other_with_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name in ("a.txt", "b.txt", "c.txt"):
            archive.writestr(name, f"the words of {name}")
    data = bytearray((tmp_path / "z.zip").read_bytes())
    at = data.index(b"BZh", data.index(b"b.txt"))
    data[at + 4 : at + 10] = b"damage"
    (tmp_path / "z.zip").write_bytes(data)
    documents, _, log = read(tmp_path)
    assert [document.doc_id for document in documents] == ["z.zip/a.txt", "z.zip/c.txt"]
    assert [row["path"] for row in log.unreadable] == ["z.zip/b.txt"]


def test_what_lies_in_an_archive_and_is_not_read_is_told(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x.txt", "inner words")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name in ("a.txt", "b.txt", "c.txt", ".hidden.txt", "../out.txt"):
            archive.writestr(name, f"the words of {name}")
        archive.writestr("books/old.zip", inner.getvalue())
    data = bytearray((tmp_path / "z.zip").read_bytes())
    data[data.index(b"the words of b.txt")] ^= 1  # what it holds no longer fits its checksum …
    data[data.index(b"c.txt") - 24] |= 1  # … and this one has the flag of a password, here …
    data[data.rindex(b"c.txt") - 38] |= 1  # … and in the list
    (tmp_path / "z.zip").write_bytes(data)
    documents, _, log = read(tmp_path)
    assert [document.doc_id for document in documents] == ["z.zip/a.txt"]
    told = {row["path"]: row["why"] for row in log.unreadable}
    assert list(told) == ["z.zip/b.txt", "z.zip/../out.txt", "z.zip/books/old.zip", "z.zip/c.txt"]
    assert "CRC" in told["z.zip/b.txt"]
    assert "leads out" in told["z.zip/../out.txt"]
    assert "inside an archive" in told["z.zip/books/old.zip"]
    assert "password" in told["z.zip/c.txt"]


def test_a_name_that_is_no_code_page_is_itself() -> None:
    """As newer Pythons read it from a zip that has it in Unicode."""
    entry = zipfile.ZipInfo("诗/静夜思.txt")
    assert archives._zip_name(entry) == "诗/静夜思.txt"


def test_a_zip_with_a_password_is_told_as_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "secret words")
    data = bytearray((tmp_path / "z.zip").read_bytes())
    data[6] |= 1  # the flag of a password, in the file's own head …
    data[data.index(b"PK\x01\x02") + 8] |= 1  # … and in the list at the end
    (tmp_path / "z.zip").write_bytes(data)
    documents, _, log = read(tmp_path)
    assert not documents
    assert [row["path"] for row in log.unreadable] == ["z.zip"]
    assert "password" in log.unreadable[0]["why"]


def test_a_damaged_archive_is_listed_not_raised(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"\xfd7zXZ\x00 and then nonsense")
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 nonsense")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"text " * 1000)[:40])
    (tmp_path / "d.txt.zst").write_bytes(b"not zstandard")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 nonsense")
    documents, _, log = read(tmp_path)
    assert documents == []
    assert [row["path"] for row in log.unreadable] == [
        "a.tar.xz",
        "b.zip",
        "c.txt.gz",
        "d.txt.zst",
        "e.parquet",
    ]


@pytest.mark.parametrize("field", ["text", "content", "body", "Text", "正文", "内容"])
def test_json_lines_take_the_text_field(tmp_path: Path, field: str) -> None:
    rows = [{field: "一"}, {field: "two", "title": "T"}]
    (tmp_path / "r.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows))
    assert list(_texts(tmp_path).values()) == ["一", "two"]


@pytest.mark.parametrize(
    ("line", "what"),
    [('{"text": ', "is not JSON"), ('{"x": 1}', "has no text field"), ("[1]", "not a JSON object")],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"text": "good"}}\n{line}\n{{"text": "also good"}}\n')
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["good", "also good"]
    assert log.unreadable[0]["path"] == "r.jsonl line 2"
    with pytest.raises(DataError, match=rf"line 2 of r\.jsonl .*{what}"):
        read(path)


def test_json_collections_are_read_with_their_titles(tmp_path: Path) -> None:
    nested = {"content": [{"title": "甲", "paragraphs": ["一句。", "二句。"]}, {"x": 1}]}
    (tmp_path / "p.json").write_text(json.dumps(nested))
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1"}')
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["甲\n\n一句。\n二句。"]
    assert [row["path"] for row in log.unreadable] == ["package.json"]


def test_a_json_file_of_an_object_a_line_is_read_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MAX_JSON", 10)  # lines may be any number
    rows = [{"text": "第一行\u2028还是第一行"}, {"text": "second"}, {"text": "third"}]
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "a.json").write_text(lines)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "c.json").write_text('{"text": "alone"}')
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == [row["text"] for row in rows] * 2
    assert [row["path"] for row in log.unreadable] == ["c.json"]


def test_chinese_names_of_fields_are_known_in_every_kind_of_table(tmp_path: Path) -> None:
    row = {
        "编号与一个很长很长的说明": "一二三四五六七八九十",
        "标题": "静夜思",
        "正文": "床前明月光",
    }
    (tmp_path / "a.json").write_text(json.dumps([row]))
    (tmp_path / "b.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    (tmp_path / "c.csv").write_text("内容\n一, 二, 三\n")
    assert list(_texts(tmp_path).values()) == ["静夜思\n\n床前明月光", "床前明月光", "一, 二, 三"]


def test_commas_in_a_table_of_one_column_are_the_text_s_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text\nOnce, twice, gone\n"He said ""no"", and left"\n')
    (tmp_path / "b.csv").write_text('"Content"\none; two, three\n')
    assert list(_texts(tmp_path).values()) == [
        "Once, twice, gone",
        'He said "no", and left',
        "one; two, three",
    ]


def test_separators_that_nobody_quoted_do_not_cut_a_text_off(tmp_path: Path) -> None:
    rows = ["1,Once, twice, gone", '2,"Fine, too"', "3,plain,,", "4"]
    (tmp_path / "a.csv").write_text("\n".join(["id,text", *rows]))
    (tmp_path / "b.csv").write_text("text,id\nOne,1,x\n")  # whose the third is nobody knows
    assert list(_texts(tmp_path).values()) == ["Once, twice, gone", "Fine, too", "plain", "One"]


def test_a_column_without_a_name_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,Hello,pos\n2,Goodbye,neg\n")
    (tmp_path / "b.csv").write_text("id,text\n1,Once, twice\n")
    (tmp_path / "c.csv").write_text(
        "id,text\n" + "1,Hello\n" * 300 + "2,Once, twice\n"  # behind the rows first looked at
    )
    texts = list(_texts(tmp_path).values())
    assert texts[:3] == ["Hello", "Goodbye", "Once, twice"]
    assert texts[-1] == "Once, twice"


def test_rows_longer_than_their_header_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x,The words of it\n2,y,Other words of it\n")
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["The words of it", "Other words of it"]
    assert log.notes == ["a.csv: the text is column 'number 3'"]


def test_tables_take_the_text_column_or_the_widest_and_say_which(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"line one\nline two"\n2,x\n')
    (tmp_path / "b.tsv").write_text("id\tstory_words\n1\tA long text, with commas\n2\tAnother\n")
    (tmp_path / "c.csv").write_text("1;short;a much longer text\n2;s;another longer text\n")
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == [
        "line one\nline two",
        "x",
        "A long text, with commas",
        "Another",
        "a much longer text",
        "another longer text",
    ]
    assert log.notes == [
        "a.csv: the text is column 'text'",
        "b.tsv: the text is column 'story_words'",
        "c.csv: the text is column 'number 3'",
    ]


def test_quotation_marks_between_tabs_are_text(tmp_path: Path) -> None:
    rows = [
        'a\t"Stop," he said, and went.',
        'b\t"Never! and no end of it',
        "c\tA plain one, as long as others",
        'd\tthe "middle" of it',
        'e\t"Whole."',
    ]
    for number in range(len(rows)):
        in_turn = [*rows[number:], *rows[:number]]
        (tmp_path / "a.tsv").write_text("\n".join(["id\ttext", *in_turn, *in_turn * 80]))
        expected = [row.split("\t")[1] for row in (*in_turn, *in_turn * 80)]
        assert list(_texts(tmp_path).values()) == expected
    for row in rows[:4]:
        (tmp_path / "a.tsv").write_text(f"id\ttext\n{row}\n")
        assert list(_texts(tmp_path).values()) == [row.split("\t")[1]]


def test_cells_between_tabs_may_stand_in_quotation_marks(tmp_path: Path) -> None:
    rows = ["id\ttext", 'a\t"He said ""no""."', 'b\t"two\nlines"', 'c\t"a\ttab"', "d\tplain"]
    expected = ['He said "no".', "two\nlines", "a\ttab", "plain"]
    (tmp_path / "a.tsv").write_text("\n".join(rows))
    assert list(_texts(tmp_path).values()) == expected
    (tmp_path / "a.tsv").write_text("\n".join([rows[0], *rows[1:] * 90]))
    assert list(_texts(tmp_path).values()) == expected * 90
    (tmp_path / "a.tsv").write_text('"id"\t"text"\n"a"\t"one"\n"b"\t"two"\n')
    assert list(_texts(tmp_path).values()) == ["one", "two"]


def test_parquet_is_read_by_its_text_column(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": [1, 2, 3], "text": ["一段文字", None, "third"], "url": ["u" * 99] * 3})
    pq.write_table(table, tmp_path / "t.parquet")
    assert list(_texts(tmp_path).values()) == ["一段文字", "third"]
    pq.write_table(pa.table({"words": ["longer text"], "k": ["s"]}), tmp_path / "t.parquet")
    assert list(_texts(tmp_path).values()) == ["longer text"]
    pq.write_table(pa.table({"number": [1]}), tmp_path / "t.parquet")
    assert "no column of texts" in read(tmp_path)[2].unreadable[0]["why"]


def test_binary_unknown_and_empty_files_are_rejected_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "b.cfg").write_text("[section]\n")
    (tmp_path / "c.md").write_text("")
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    _, rejected, _ = read(tmp_path)
    assert [(item.doc_id, item.reason) for item in rejected] == [
        ("a.txt", "binary"),
        ("b.cfg", "unsupported"),
        ("c.md", "empty"),
        ("d.png", "binary"),
    ]


class _Counted(io.BytesIO):
    num_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        _Counted.num_read += len(data)
        return data


def test_of_a_large_file_that_is_not_read_only_the_beginning_is_looked_at() -> None:
    data = b"a line of a log\n" * 400_000
    file = SourceFile("a.log", "s", "a.log", len(data), lambda: _Counted(data))
    (item,) = read_file(file, ReadLog(), lambda size: 100)
    assert isinstance(item, Rejected)
    assert item.reason == "unsupported"
    assert _Counted.num_read <= 1 << 20


def test_a_file_without_suffix_is_read_when_named(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("Text without a suffix.")
    assert _texts(path) == {"words": "Text without a suffix."}


def test_a_long_text_becomes_numbered_documents_that_are_the_text(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {i}. " + "words " * 20 for i in range(100))
    (tmp_path / "book.txt").write_text(text)
    documents, _, _ = read(tmp_path, limit=2000)
    assert [d.doc_id for d in documents][:2] == ["book.txt#0000", "book.txt#0001"]
    assert "".join(d.text for d in documents) == text
    assert max(len(d.text) for d in documents) <= 2000


def test_names_that_are_not_utf8_are_shown(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(path, "w") as file:
        file.write("text")
    assert list(_texts(tmp_path)) == ["caf\\xe9.txt"]


def test_what_a_packed_file_unpacks_to_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(tables, "_MAX_JSON", 10_000)
    monkeypatch.setattr(kinds, "MAX_IN_MEMORY", 1_000)
    rows = json.dumps([{"text": "the same words " * 10} for _ in range(100)])
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(rows.encode()))
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [f"row {n}" for n in range(500)]}), table)
    (tmp_path / "b.parquet.zst").write_bytes(zstandard.compress(table.getvalue()))
    documents, _, log = read(tmp_path)
    assert not documents
    assert {row["path"]: row["why"] for row in log.unreadable} == {
        "a.json.gz": "a JSON file of more than 64 MB",
        "b.parquet.zst": "a packed file of more than 256 MB",
    }


def test_text_in_an_unknown_encoding_is_rejected_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(("Все счастливые семьи похожи. " * 9).encode("cp1251"))
    documents, rejected, log = read(tmp_path)
    assert not documents
    assert [item.reason for item in rejected] == ["undecodable"]
    assert "old.txt" in log.notes[0]
    assert "convert it to UTF-8" in log.notes[0]


def test_a_page_that_names_its_encoding_is_read_by_it(tmp_path: Path) -> None:
    page = "<meta charset='windows-1251'><p>Все счастливые семьи похожи.</p>"
    (tmp_path / "a.html").write_bytes(page.encode("cp1251"))
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["Все счастливые семьи похожи."]
    assert log.encodings == {"cp1251": 1}
