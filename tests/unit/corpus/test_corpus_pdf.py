"""PDF files become paragraphs, where pypdf is installed; else it is said what to install."""

from __future__ import annotations

import io
import logging
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from corpus_files import read, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import DataError
from homespun.corpus import build_corpus
from homespun.corpus.sources.formats.pdf import paragraphs, without_heads

_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def write_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """A PDF of pages of lines. Characters are numbered through, and a table says which they are, as
    in files that bring their own font."""
    letters = sorted({letter for lines in pages for line in lines for letter in line})
    codes = {letter: number + 1 for number, letter in enumerate(letters)}
    table = "".join(f"<{codes[c]:04x}> <{c.encode('utf-16-be').hex()}>\n" for c in letters)
    to_unicode = (
        "/CIDInit /ProcSet findresource begin begincmap\n1 begincodespacerange\n<0000> <ffff>\n"
        f"endcodespacerange\n{len(letters)} beginbfchar\n{table}endbfchar\nendcmap end"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (6 + 2 * n) for n in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /Own /Encoding /Identity-H "
        b"/DescendantFonts [4 0 R] /ToUnicode 5 0 R >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Own /DW 500 "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        _stream(to_unicode.encode()),
    ]
    for number, lines in enumerate(pages):
        shown = "".join(
            f"<{''.join(f'{codes[letter]:04x}' for letter in line)}> Tj 0 -14 Td " for line in lines
        )
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (7 + 2 * number)
        )
        objects.append(_stream(f"BT /F1 12 Tf 72 720 Td {shown}ET".encode()))
    path.write_bytes(_file(objects))
    return path


def _stream(data: bytes) -> bytes:
    packed = zlib.compress(data)
    head = b"<< /Length %d /Filter /FlateDecode >>" % len(packed)
    return head + b"\nstream\n" + packed + b"\nendstream"


def _file(objects: list[bytes]) -> bytes:
    data = b"%PDF-1.7\n"
    places = []
    for number, inside in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, inside)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        len(data),
    )
    return data + table + end


_WIDE = "These words go on until the edge of the page is near and"


def test_without_pypdf_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n")
    with pytest.raises(DataError, match=r"1 unreadable .*homespun\[pdf\]'`\)\); add text:"):
        build_corpus(tmp_path, tmp_path / "out")
    (tmp_path / "b.txt").write_text("words")
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["words"]
    told = "PDF is read by the package pypdf (`pip install 'homespun[pdf]'`)"
    assert log.unreadable == [{"path": "a.pdf", "why": told}]
    with pytest.raises(DataError, match=r"a\.pdf: PDF is read by .*; install that, or save"):
        read(tmp_path / "a.pdf")


def test_pages_become_paragraphs_without_what_stands_on_each_of_them(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    pages = [
        [
            "The Book",
            "Chapter One . . . . . . . . 1",
            f"Page {number}: {_WIDE} in the mid-",
            "dle of it, with a word that is divided there and ends.",
            "一二三四五六七八九十" * 4,
            "甲乙丙丁戊"[:number] + "。",
            f"- {number} -",
        ]
        for number in range(1, 5)
    ]
    write_pdf(tmp_path / "a.pdf", pages)
    whole = [
        f"Page {number}: {_WIDE} in the middle of it, with a word that is divided there and ends."
        + "\n"
        + "一二三四五六七八九十" * 4
        + "甲乙丙丁戊"[:number]
        + "。"
        for number in range(1, 5)
    ]
    assert text_of(tmp_path / "a.pdf") == "\n".join(["The Book", *whole])


def test_damaged_and_locked_files_are_named_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pypdf = pytest.importorskip("pypdf")
    whole = write_pdf(tmp_path / "z.pdf", [["Words that are read."]]).read_bytes()
    for name, password in (("locked", "secret"), ("open", "")):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(whole))
        writer.encrypt(password, "owner", algorithm="RC4-128")
        with open(tmp_path / f"{name}.pdf", "wb") as file:
            writer.write(file)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnonsense")
    (tmp_path / "b.pdf").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "c.pdf").write_bytes(b"")
    write_pdf(tmp_path / "d.pdf", [[], []])
    (tmp_path / "e.pdf").write_bytes(b"sent by\n" + whole)
    before = logging.getLogger("pypdf").level
    documents, rejected, log = read(tmp_path)
    texts = {document.doc_id: document.text for document in documents}
    assert texts == dict.fromkeys(("e.pdf", "open.pdf", "z.pdf"), "Words that are read.")
    told = {row["path"]: row["why"] for row in log.unreadable}
    assert list(told) == ["a.pdf", "b.pdf", "c.pdf", "locked.pdf"]
    assert all("damaged" in told[name] for name in ("a.pdf", "b.pdf", "c.pdf"))
    assert told["locked.pdf"] == "it is locked with a password"
    assert [(item.doc_id, item.reason) for item in rejected] == [("d.pdf", "empty")]
    assert not caplog.records
    assert logging.getLogger("pypdf").level == before


def test_a_damaged_page_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pypdf = pytest.importorskip("pypdf")
    extract = pypdf.PageObject.extract_text

    def failing(page: object) -> str:
        text: str = extract(page)
        if "page 1" in text:
            raise AttributeError("no such font")
        return text

    monkeypatch.setattr(pypdf.PageObject, "extract_text", failing)
    write_pdf(tmp_path / "a.pdf", [[f"Words of page {number}."] for number in range(3)])
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["Words of page 0.\nWords of page 2."]
    assert log.unreadable == [{"path": "a.pdf page 2", "why": "no such font"}]


def test_a_bomb_of_a_page_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    write_pdf(tmp_path / "a.pdf", [["Words of page 0."], ["x"]])
    data = (tmp_path / "a.pdf").read_bytes()
    start = data.index(b"9 0 obj\n")
    bomb = b"9 0 obj\n" + _stream(b"(a) Tj " * 12_000_000) + b"\nendobj\n"
    (tmp_path / "a.pdf").write_bytes(data[:start] + bomb + data[data.index(b"xref") :])
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["Words of page 0."]
    assert [row["path"] for row in log.unreadable] == ["a.pdf page 2"]


def test_what_stands_on_few_pages_or_in_their_middle_stays() -> None:
    pages = [[f"{number}", "Twice" if number < 2 else "Other", "a", "b", "same", "c", "d"]
             for number in range(4)]  # fmt: skip
    pages[3][1] = "Last"
    lines = without_heads(pages)
    assert lines.count("Twice") == 2
    assert lines.count("same") == 4
    assert "3" not in lines
    assert without_heads([["7", "x"], ["8", "y"]]) == ["7", "x", "8", "y"]


def test_short_lines_lists_and_gaps_end_paragraphs() -> None:
    lines = ["A heading", _WIDE, "on.", _WIDE, "", _WIDE, "- one", f"1. {_WIDE}", "more"]
    assert list(paragraphs(lines)) == [
        "A heading",
        f"{_WIDE} on.",
        _WIDE,
        _WIDE,
        "- one",
        f"1. {_WIDE} more",
    ]
    table = ["a", "b 1", "  c"]
    assert list(paragraphs(table)) == table


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), max_size=60)))
@settings(max_examples=60, deadline=None)
def test_nothing_but_space_and_hyphens_is_lost_of_lines(lines: list[str]) -> None:
    def letters(texts: list[str]) -> str:
        return "".join("".join(texts).replace("-", "").replace("\u2010", "").split())

    assert letters(list(paragraphs(lines))) == letters(lines)
