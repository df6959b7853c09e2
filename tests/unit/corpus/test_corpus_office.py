"""DOCX and ODT documents become the text that a person reads in them."""

from __future__ import annotations

import io
import random
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
import zstandard
from corpus_files import pack, read, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import DataError
from homespun.corpus import build_corpus, iter_documents
from homespun.corpus.sources import files as kinds
from homespun.corpus.sources.formats.package import XmlReader

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MIXED = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_ODT_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "style", "text", "table", "draw", "svg", "manifest")
)

_STYLES = """
<w:style w:styleId="1"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="7"/></w:numPr>
  <w:outlineLvl w:val="0"/></w:pPr></w:style>
<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
<w:style w:styleId="Own"><w:name w:val="My heading"/><w:basedOn w:val="berschrift2"/></w:style>
<w:style w:styleId="Points"><w:name w:val="List Bullet"/></w:style>
<w:style w:styleId="TOC1"><w:name w:val="toc 1"/></w:style>
<w:style w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
"""


def relations(**targets: str) -> str:
    rows = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets.items())
    )
    return f"<Relationships>{rows}</Relationships>"


def word_part(name: str, inside: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<w:{name} xmlns:w="{_WORD}" xmlns:mc="{_MIXED}">{inside}</w:{name}>'
    )


def write_docx(path: Path, body: str, *, main: str = "document.xml", **notes: str) -> Path:
    """A DOCX of paragraphs in XML; notes are given as `footnotes=`, `endnotes=`, `comments=`."""
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(officeDocument=f"word/{main}"),
        f"word/{main}": word_part("document", f"<w:body>{body}</w:body>"),
        f"word/_rels/{main}.rels": relations(
            styles="styles.xml", **{kind: f"/word/{kind}.xml" for kind in notes}
        ),
        "word/styles.xml": word_part("styles", _STYLES),
        **{f"word/{kind}.xml": word_part(kind, inside) for kind, inside in notes.items()},
    }
    return pack(path, parts)


def write_odt(path: Path, body: str, *, manifest: str = "") -> Path:
    style = '<style style:name="P1" style:parent-style-name="Title"/>'
    text = f"{style}<office:body><office:text>{body}</office:text></office:body>"
    parts = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"<office:document-content {_ODT_NAMES}>{text}</office:document-content>",
        "META-INF/manifest.xml": f"<manifest:manifest {_ODT_NAMES}>{manifest}</manifest:manifest>",
    }
    return pack(path, parts)


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def par(*inside: str, style: str = "", properties: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    runs = "".join(part if part.startswith("<") else run(part) for part in inside)
    return f"<w:p><w:pPr>{named}{properties}</w:pPr>{runs}</w:p>"


Write = Callable[[Path, str], Path]
BOTH = pytest.mark.parametrize(
    ("write", "name", "paragraph"),
    [
        (write_docx, "a.docx", "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"),
        (write_odt, "a.odt", "<text:p>{}</text:p>"),
    ],
    ids=["docx", "odt"],
)


def test_a_word_document_is_read_as_it_is_seen(tmp_path: Path) -> None:
    body = [
        par("Contents 3", style="TOC1"),
        par("第一章", style="1"),
        par("Once ", "upon", "<w:r><w:br/></w:r>", "a time", "<w:r><w:tab/></w:r>", "& later."),
        par(""),
        par("Of a style made from another", style="Own"),
        par("By itself", properties='<w:outlineLvl w:val="2"/>'),
        par("one", style="Points"),
        par("two", properties='<w:numPr><w:numId w:val="3"/></w:numPr>'),
        par("none", style="Points", properties='<w:numPr><w:numId w:val="0"/></w:numPr>'),
        par("around and around", style="Loop"),
    ]
    assert text_of(write_docx(tmp_path / "a.docx", "".join(body))).split("\n\n") == [
        "# 第一章",
        "Once upon\na time\t& later.",
        "## Of a style made from another",
        "### By itself",
        "- one\n- two",
        "none",
        "around and around",
    ]


def test_what_was_deleted_from_a_word_document_or_said_about_it_is_no_text(tmp_path: Path) -> None:
    gone = "<w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r>"
    body = [
        par("Kept", f"<w:del>{gone}</w:del>", "<w:ins><w:r><w:t> and new</w:t></w:r></w:ins>"),
        par(f"<w:moveFrom>{gone}</w:moveFrom>"),
        par("<w:moveTo><w:r><w:t>moved here</w:t></w:r></w:moveTo>"),
        par("One sentence", properties="<w:rPr><w:del/></w:rPr>"),
        par(" goes on", '<w:r><w:commentReference w:id="1"/></w:r>'),
        par("<w:r><w:instrText> PAGEREF x </w:instrText></w:r>", "7"),
        par(
            "plain again",
            properties='<w:pPrChange><w:pPr><w:pStyle w:val="1"/><w:rPr><w:del/></w:rPr></w:pPr>'
            "</w:pPrChange>",
        ),
    ]
    comment = f'<w:comment w:id="1">{par("a remark")}</w:comment>'
    path = write_docx(tmp_path / "a.docx", "".join(body), comments=comment)
    assert text_of(path).split("\n\n") == [
        "Kept and new",
        "moved here",
        "One sentence goes on",
        "7",
        "plain again",
    ]


def test_tables_boxes_and_notes_of_a_word_document_stand_where_they_belong(tmp_path: Path) -> None:
    def note(number: int, kind: str = "footnote") -> str:
        return f'<w:r><w:{kind}Reference w:id="{number}"/></w:r>'

    def row(*cells: str) -> str:
        inside = "".join(f"<w:tc>{cell}</w:tc>" for cell in cells)
        return f"<w:tr>{inside}</w:tr>"

    box = f"<w:txbxContent>{par('in a box')}</w:txbxContent>"
    drawing = (
        f"<w:r><mc:AlternateContent><mc:Choice>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r>"
    )
    body = [
        par("Said", note(2), " and done", note(1, "endnote"), "."),
        "<w:tbl>",
        row(par("a") + par("b"), par("c", note(3)), par("")),
        row(par("d"), par("e")),
        row(par("f"), par("g")),
        row(par("A frame") + par("of paragraphs")),
        "</w:tbl>",
        par("before ", drawing, "and after", style="1"),
    ]
    footnotes = (
        f'<w:footnote w:type="separator" w:id="-1">{par("never")}</w:footnote>'
        f'<w:footnote w:id="2">{par("<w:r><w:footnoteRef/></w:r>", " First.")}</w:footnote>'
        f'<w:footnote w:id="3">{par("Of a cell.")}</w:footnote>'
    )
    endnotes = f'<w:endnote w:id="1">{par("At the end.") + par("In two.")}</w:endnote>'
    path = write_docx(
        tmp_path / "a.docx", "".join(body), main="document2.xml", footnotes=footnotes,
        endnotes=endnotes,
    )  # fmt: skip
    assert text_of(path).split("\n\n") == [
        "Said[1] and done[2].",
        "[1] First.",
        "[2] At the end.\nIn two.",
        "a b\tc[3]",
        "[3] Of a cell.",
        "d\te\nf\tg",
        "A frame",
        "of paragraphs",
        "in a box",
        "# before and after",
    ]


def test_an_open_document_is_read_as_it_is_seen(tmp_path: Path) -> None:
    item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    body = [
        '<text:p text:style-name="P1">The title</text:p>',
        "<text:tracked-changes><text:deletion><text:p>gone</text:p></text:deletion>"
        "</text:tracked-changes>",
        "<text:table-of-content><text:index-body><text:p>Contents 3</text:p></text:index-body>"
        "</text:table-of-content>",
        '<text:h text:outline-level="2">第二章</text:h>',
        "<text:p>\n  Once  <text:span>upon</text:span>\n  a<text:line-break/>time"
        '<text:s text:c="2"/><text:s text:c="999999999"/>'
        "<text:tab/>later.<office:annotation><text:p>a remark</text:p></office:annotation>"
        "<text:note><text:note-citation>i</text:note-citation><text:note-body><text:p>Below."
        "</text:p></text:note-body></text:note> More.</text:p>",
        "<text:p> </text:p>",
        f"<text:list>{item.format('one', '<text:p>more</text:p>')}{item.format('two', '')}"
        "</text:list>",
        f"<table:table><table:table-row>{cell.format('a')}{cell.format('b')}</table:table-row>"
        f"<table:table-row>{cell.format('c')}{cell.format('d')}</table:table-row></table:table>",
        "<text:p>before<draw:frame><svg:title>a name</svg:title><draw:text-box><text:p>in a box"
        "</text:p></draw:text-box></draw:frame> and after</text:p>",
        "<text:p><draw:custom-shape><text:p>in a shape</text:p></draw:custom-shape></text:p>",
    ]
    assert text_of(write_odt(tmp_path / "a.odt", "".join(body))).split("\n\n") == [
        "# The title",
        "## 第二章",
        f"Once upon a\ntime{' ' * 82}\tlater.[1] More.",
        "[1] Below.",
        "- one",
        "more",
        "- two",
        "a\tb\nc\td",
        "in a box",
        "before and after",
        "in a shape",
    ]


@BOTH
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=("C", "Z"))).map(lambda text: f"x{text}"),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=30, deadline=None)
def test_paragraphs_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    write: Write,
    name: str,
    paragraph: str,
    texts: list[str],
) -> None:
    path = tmp_path_factory.mktemp("p") / name
    write(path, "".join(paragraph.format(escape(text)) for text in texts))
    assert text_of(path) == "\n\n".join(texts)


@BOTH
def test_a_long_document_is_cut_and_nothing_is_lost(
    tmp_path: Path, write: Write, name: str, paragraph: str
) -> None:
    texts = [f"Paragraph {number}. " + "词语" * 30 for number in range(3000)]
    write(tmp_path / name, "".join(paragraph.format(text) for text in texts))
    documents, _, log = read(tmp_path, limit=2000)
    assert "".join(document.text for document in documents) == "\n\n".join(texts)
    assert max(len(document.text) for document in documents) <= 2000
    assert [document.doc_id for document in documents[:2]] == [f"{name}#0000", f"{name}#0001"]
    assert log.num_files == 1


@BOTH
def test_documents_lie_in_archives_and_may_be_packed(
    tmp_path: Path, write: Write, name: str, paragraph: str
) -> None:
    data = write(tmp_path / name, paragraph.format("the words")).read_bytes()
    pack(tmp_path / "z.zip", {f"folder/{name}": data, f"folder/~${name}": b"and here"})
    (tmp_path / f"{name}.zst").write_bytes(zstandard.compress(data))
    (tmp_path / f"~${name}").write_bytes(b"who has it open")
    documents, _, log = read(tmp_path)
    assert log.num_unreadable == 0
    assert {document.doc_id: document.text for document in documents} == {
        name: "the words",
        f"{name}.zst": "the words",
        f"z.zip/folder/{name}": "the words",
    }


@BOTH
def test_damaged_and_locked_documents_are_named_and_the_rest_is_read(
    tmp_path: Path, write: Write, name: str, paragraph: str
) -> None:
    suffix = name.partition(".")[2]
    whole = write(tmp_path / f"z.{suffix}", paragraph.format("Words that are read.")).read_bytes()
    flagged = bytearray(whole)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(mark), whole):
            flagged[found.start() + flags] |= 1
    broken = {
        "a": b"PK\x03\x04 nonsense",
        "b": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "c": whole[: len(whole) // 2],
        "e": b"",
        "g": bytes(flagged),
    }
    for stem, data in broken.items():
        (tmp_path / f"{stem}.{suffix}").write_bytes(data)
    write(tmp_path / f"d.{suffix}", paragraph.format("An &end;"))
    pack(tmp_path / f"f.{suffix}", {"other.xml": "<a/>"})
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["Words that are read."]
    told = {row["path"].partition(".")[0]: row["why"] for row in log.unreadable}
    assert list(told) == ["a", "b", "c", "d", "e", "f", "g"]
    assert told["a"] == told["c"] == told["e"] == "File is not a zip file"
    assert "password" in told["b"]
    assert "damaged: undefined entity" in told["d"]
    assert "is missing" in told["f"]
    assert told["g"] == "it is locked with a password"


@BOTH
@given(places=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), max_size=5))
@settings(max_examples=40, deadline=None)
def test_damage_anywhere_is_told_and_ends_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    write: Write,
    name: str,
    paragraph: str,
    places: list[tuple[int, int]],
) -> None:
    """Inside parts whose checksums are right, so that the XML itself is met damaged."""
    path = write(tmp_path_factory.mktemp("p") / name, paragraph.format("some words") * 3)
    with zipfile.ZipFile(path) as archive:
        parts = {part: bytearray(archive.read(part)) for part in archive.namelist()}
    for data in parts.values():
        for place, value in places:
            data[place % len(data)] = value
    pack(path, {part: bytes(data) for part, data in parts.items()})
    _, _, log = read(path.parent)
    assert log.num_files == 1


def test_an_open_document_with_a_password_is_told_as_one(tmp_path: Path) -> None:
    locked = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    path = write_odt(tmp_path / "a.odt", "gibberish", manifest=locked)
    with pytest.raises(DataError, match=r"a\.odt: it is locked with a password; save it without"):
        read(path)


@BOTH
def test_entities_are_refused_before_they_grow(
    tmp_path: Path, write: Write, name: str, paragraph: str
) -> None:
    """Ten lines that stand for a gigabyte, and a file of this machine."""
    laughs = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha " * 10}">' for n in range(10)
    )
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    for inside in (laughs, f'<!ENTITY l9 SYSTEM "{secret.as_uri()}">'):
        write(tmp_path / name, paragraph.format("&l9;"))
        with zipfile.ZipFile(tmp_path / name) as archive:
            parts = {entry: archive.read(entry) for entry in archive.namelist()}
        for part, content in parts.items():
            if b"&l9;" in content:
                begin = content.index(b"<", content.find(b"?>") + 1)
                doctype = f"<!DOCTYPE x [{inside}]>".encode()
                parts[part] = content[:begin] + doctype + content[begin:]
        pack(tmp_path / name, parts)
        secret.rename(tmp_path / ".secret")
        documents, _, log = read(tmp_path)
        (tmp_path / ".secret").rename(secret)
        assert not documents
        assert log.unreadable == [{"path": name, "why": "its XML declares entities"}]


@BOTH
def test_a_bomb_in_a_document_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, name: str, paragraph: str
) -> None:
    monkeypatch.setattr("homespun.corpus.sources.archives.MIN_EXPANDED", 1000)
    write(tmp_path / name, paragraph.format("a" * 3_000_000))
    assert "absurdly much" in read(tmp_path)[2].unreadable[0]["why"]


@BOTH
def test_a_document_of_pictures_alone_holds_no_text(
    tmp_path: Path, write: Write, name: str, paragraph: str
) -> None:
    write(tmp_path / name, paragraph.format(" "))
    assert [item.reason for item in read(tmp_path)[1]] == ["empty"]


def test_a_tag_that_never_ends_takes_no_longer_than_its_length() -> None:
    reader = XmlReader()
    data = b'<a x="' + b"y" * (40 << 20)
    start = time.process_time()
    with pytest.raises(DataError, match="its XML is damaged"):
        reader.read_all(io.BytesIO(data))
    assert time.process_time() - start < 5


def test_elements_within_elements_without_end_are_read(tmp_path: Path) -> None:
    deep = 200_000
    inside = "<text:span>" * deep + "x" + "</text:span>" * deep
    assert text_of(write_odt(tmp_path / "a.odt", f"<text:p>{inside}</text:p>")) == "x"


@pytest.mark.parametrize(
    ("name", "begin", "why"),
    [
        ("a.docx", "<w:p><w:r><w:t>x</w:t>", "its boxes are nested absurdly deep"),
        ("a.docx", "<w:tr><w:tc><w:p>", "its boxes are nested absurdly deep"),
        ("a.odt", "<text:p>x", "its boxes are nested absurdly deep"),
        ("a.odt", "<text:note>", "its boxes are nested absurdly deep"),
        ("a.odt", "<text:a>", "its XML is nested absurdly deep"),
    ],
)
def test_boxes_within_boxes_without_end_are_refused(
    tmp_path: Path, name: str, begin: str, why: str
) -> None:
    """What is in them would be handed on from each to the next, and the parser keeps all names."""
    write = write_docx if name == "a.docx" else write_odt
    write(tmp_path / name, begin * (1_100_000 if begin == "<text:a>" else 100_000))
    start = time.process_time()
    assert read(tmp_path)[2].unreadable == [{"path": name, "why": why}]
    assert time.process_time() - start < 20


def test_a_part_that_python_would_unpack_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("word/document.xml", "<a/>")
    assert "packed otherwise" in read(tmp_path)[2].unreadable[0]["why"]
    monkeypatch.setattr("homespun.corpus.sources.formats.package.MAX_IN_MEMORY", 1000)
    write_docx(tmp_path / "a.docx", par("x" * 1000))
    assert "256 MB" in read(tmp_path)[2].unreadable[0]["why"]


_ENGLISH = "river garden window letter winter bread music paper morning silver horse lamp"
_CHINESE = "春天 花园 窗户 来信 冬天 面包 音乐 纸张 早晨 银子 马车 灯火"


def test_a_corpus_of_documents_is_built_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(20):
        words = random.Random(number)
        english = ", the ".join(words.sample(_ENGLISH.split(), 9))
        chinese = "，我们的".join(words.sample(_CHINESE.split(), 9))
        write_docx(folder / f"{number}.docx", par(f"In the cafe\u0301 they saw the {english}."))
        write_odt(folder / f"{number}.odt", f"<text:p>他们在这里看见了{chinese}。</text:p>")
    cards = [build_corpus(folder, tmp_path / out) for out in ("one", "two")]
    assert cards[0]["splits"] == cards[1]["splits"]
    assert cards[0]["num_unreadable"] == 0
    assert set(cards[0]["languages"]) == {"en", "zh"}
    texts = [document.text for document in iter_documents(tmp_path / "one", "train")]
    assert any("caf\u00e9" in text for text in texts)
    assert not any("cafe\u0301" in text for text in texts)


def test_the_kinds_are_told_apart_by_their_names() -> None:
    assert kinds.suffix_of("Letter.DOCX") in kinds.DOCX
    assert kinds.suffix_of("book.kepub.epub") in kinds.EPUB
