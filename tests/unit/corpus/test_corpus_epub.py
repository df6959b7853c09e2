"""EPUB books become chapters, whatever wrote them."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from corpus_files import pack, read

from homespun.core import DataError
from homespun.corpus import build_corpus

_XHTML = "application/xhtml+xml"


def page(inside: str, *, title: str = "The book") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="x"><head>'
        f"<title>{title}</title><style>p {{}}</style></head><body>{inside}</body></html>"
    )


def write_epub(
    path: Path,
    pages: Mapping[str, str | bytes],
    *,
    ncx: Mapping[str, str] | None = None,
    nav: Mapping[str, str] | None = None,
    spine: list[str] | None = None,
    more: Mapping[str, str] | None = None,
) -> Path:
    """A book of pages in the folder "OEBPS", in their order, with a table of contents of the older
    kind (`ncx`), the newer one (`nav`), or none: where an entry points to, and what it says."""
    items = [
        f'<item id="p{n}" href="{name}" media-type="{_XHTML}"/>' for n, name in enumerate(pages)
    ]
    numbers = {name: number for number, name in enumerate(pages)}
    parts: dict[str, str | bytes] = {f"OEBPS/{name}": text for name, text in pages.items()}
    if ncx is not None:
        items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        points = "".join(
            f"<navPoint><navLabel><text>{label}</text></navLabel><content src='{to}'/></navPoint>"
            for to, label in ncx.items()
        )
        lists = "".join(f"<pageTarget><content src='{name}'/></pageTarget>" for name in pages)
        parts["OEBPS/toc.ncx"] = (
            '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://example.org/ncx.dtd">'
            f"<ncx><docTitle><text>The book</text></docTitle><navMap>{points}</navMap>"
            f"<pageList>{lists}</pageList></ncx>"
        )
    if nav is not None:
        items.append(
            f'<item id="nav" properties="nav" href="text/nav.xhtml" media-type="{_XHTML}"/>'
        )
        entries = "".join(f'<li><a href="{t}">{label}</a></li>' for t, label in nav.items())
        parts["OEBPS/text/nav.xhtml"] = page(
            f'<nav epub:type="toc"><ol>{entries}</ol></nav>'
            f'<nav epub:type="landmarks"><a href="../{next(iter(pages))}">Cover</a></nav>'
        )
    refs = "".join(f'<itemref idref="p{numbers[name]}"/>' for name in spine or pages)
    parts["OEBPS/book.opf"] = (
        "<package xmlns:dc='dc'><metadata><dc:title>The book</dc:title></metadata>"
        f"<manifest>{''.join(items)}</manifest><spine toc='ncx'>{refs}</spine></package>"
    )
    parts["META-INF/container.xml"] = (
        '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    return pack(path, {"mimetype": "application/epub+zip", **parts, **(more or {})})


def locks(*parts: str) -> dict[str, str]:
    rows = "".join(
        f'<enc:EncryptedData><enc:CipherReference URI="{p}"/></enc:EncryptedData>' for p in parts
    )
    return {"META-INF/encryption.xml": f"<encryption>{rows}</encryption>"}


_PAGES = {
    "cover.xhtml": page("<img src='cover.jpg'/>"),
    "rights.xhtml": page("<p>All rights reserved.</p>"),
    "text/one.xhtml": page("<h1>第一章</h1><p>从前有座山。</p>"),
    "text/one%20b.xhtml": page(
        "<p>山上有座<ruby>庙<rp>(</rp><rt>miào</rt><rp>)</rp></ruby>。</p>"
        "<aside epub:type='footnote'>一座小庙。</aside>"
    ),
    "text/two.xhtml": page("<h1>第二章</h1><p>庙里有个老和尚。<br/>他在讲故事。</p><script/>"),
}
_CHAPTERS = [
    ("b.epub/OEBPS/rights.xhtml", "All rights reserved."),
    ("b.epub/OEBPS/text/one.xhtml", "# 第一章\n\n从前有座山。\n\n山上有座庙。\n\n一座小庙。"),
    ("b.epub/OEBPS/text/two.xhtml", "# 第二章\n\n庙里有个老和尚。\n他在讲故事。"),
]


def _pages() -> dict[str, str]:
    """As they lie in the archive: names in lists are percent-encoded, those of files are not."""
    return {name.replace("%20", " "): text for name, text in _PAGES.items()}


def test_chapters_are_documents_by_either_kind_of_contents(tmp_path: Path) -> None:
    older = {"text/one.xhtml": "一", "text/two.xhtml#top": "二"}
    newer = {"one.xhtml": "一", "two.xhtml#top": "二"}
    for contents in ({"ncx": older}, {"nav": newer}, {"ncx": older, "nav": newer}):
        write_epub(tmp_path / "b.epub", _pages(), **contents)  # type: ignore[arg-type]
        documents, _, log = read(tmp_path)
        assert [(document.doc_id, document.text) for document in documents] == _CHAPTERS
        assert documents[0].metadata == {"book": "The book"}
        assert documents[1].metadata == {"book": "The book", "title": "一"}
        assert (log.num_files, log.num_unreadable) == (1, 0)


def test_without_contents_that_point_to_pages_each_is_a_document(tmp_path: Path) -> None:
    for contents in (None, {"elsewhere.xhtml": "?"}):
        write_epub(tmp_path / "b.epub", _pages(), ncx=contents)
        assert len(read(tmp_path)[0]) == 4


def test_the_order_is_the_one_to_read_in_and_no_page_comes_twice(tmp_path: Path) -> None:
    pages = {f"{name}.xhtml": page(f"<p>{name}</p>") for name in "abc"}
    spine = ["c.xhtml", "a.xhtml", "c.xhtml", "b.xhtml"]
    write_epub(tmp_path / "b.epub", pages, spine=spine)
    assert [document.text for document in read(tmp_path)[0]] == ["c", "a", "b"]


def test_pages_in_older_encodings_are_read(tmp_path: Path) -> None:
    said = "<?xml version='1.0' encoding='{}'?><p>{}</p>"
    chinese = "他们说这里的人都知道那个地方，可是没有人去过。" * 3
    pages = {
        "a.html": said.format("gb2312", chinese).encode("gb18030"),
        "b.html": said.format("utf-8", chinese).encode("utf-16"),
        "c.html": said.format("Shift_JIS", "これは日本語の文章です。").encode("shift_jis"),
    }
    write_epub(tmp_path / "b.epub", pages)
    texts = [document.text for document in read(tmp_path)[0]]
    assert texts == [chinese, chinese, "これは日本語の文章です。"]


def test_damaged_missing_and_locked_pages_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    pages: dict[str, str | bytes] = {
        f"{name}.xhtml": page(f"<p>Words of page {name}.</p>") for name in "abcd"
    }
    pages["e.xhtml"] = b"\x89PNG\r\n\x1a\n\0\0"
    path = write_epub(
        tmp_path / "b.epub", pages, ncx={"a.xhtml": "All"}, more=locks("OEBPS/c.xhtml", "font.otf")
    )
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if "d.xhtml" not in name}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        at = archive.getinfo("OEBPS/b.xhtml").header_offset
    data = bytearray(path.read_bytes())
    data[data.index(b"Words", at)] ^= 1
    path.write_bytes(data)
    documents, _, log = read(tmp_path)
    assert [(d.doc_id, d.text) for d in documents] == [("b.epub/OEBPS/a.xhtml", "Words of page a.")]
    told = {row["path"].rpartition("/")[2]: row["why"] for row in log.unreadable}
    assert list(told) == ["b.xhtml", "c.xhtml", "d.xhtml", "e.xhtml"]
    assert "CRC" in told["b.xhtml"]
    assert "locked" in told["c.xhtml"]
    assert "is missing" in told["d.xhtml"]
    assert "no text" in told["e.xhtml"]


def test_a_book_that_its_seller_locked_is_told_as_one(tmp_path: Path) -> None:
    pages = {"a.xhtml": page("<p>gibberish</p>")}
    path = write_epub(tmp_path / "b.epub", pages, more=locks("OEBPS/a.xhtml"))
    with pytest.raises(DataError, match=r"b\.epub: it is locked by its seller; take a copy"):
        read(path)
    (tmp_path / "c.epub").write_bytes(b"no book")
    with zipfile.ZipFile(tmp_path / "d.epub", "w") as archive:
        archive.writestr("a.xhtml", "text")
    write_epub(tmp_path / "e.epub", {"a.xhtml": page("<img/>")})
    write_epub(tmp_path / "f.epub", {"a.xhtml": page("Words")})
    documents, rejected, log = read(tmp_path)
    assert [document.text for document in documents] == ["Words"]
    assert [row["path"] for row in log.unreadable] == ["b.epub", "c.epub", "d.epub"]
    assert "no list of its chapters" in log.unreadable[2]["why"]
    assert [(item.doc_id, item.reason) for item in rejected] == [("e.epub", "empty")]


def test_a_bomb_of_pages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.corpus.sources.archives.MIN_EXPANDED", 1000)
    write_epub(tmp_path / "b.epub", {"a.xhtml": page("a" * 3_000_000)})
    documents, _, log = read(tmp_path)
    assert not documents
    assert "absurdly much" in log.unreadable[0]["why"]


def test_contents_and_titles_without_end_take_no_longer_than_their_length(tmp_path: Path) -> None:
    endless = "<b>x</b>" * 100_000
    lists = '<item properties="nav" href="text/nav.xhtml"/>' * 50_000
    path = write_epub(tmp_path / "b.epub", {"a.xhtml": page("Words.")}, nav={"../a.xhtml": endless})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    book = parts["OEBPS/book.opf"].decode()
    parts["OEBPS/book.opf"] = book.replace("<manifest>", f"<manifest>{lists}").encode()
    pack(path, parts)
    start = time.process_time()
    (document,) = read(tmp_path)[0]
    assert time.process_time() - start < 8
    assert (document.text, document.metadata["title"]) == ("Words.", "x" * 1000)


def test_a_long_chapter_is_cut_and_a_page_that_two_books_share_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for book in range(4):
        long = "".join(
            f"<p>Sentence {book * 1000 + n} of the book, about {n * n}.</p>" for n in range(300)
        )
        pages = {
            "rights.xhtml": page("<p>Printed by the same house in the same town, all of them.</p>"),
            "one.xhtml": page(f"<h1>One</h1>{long}"),
        }
        write_epub(folder / f"{book}.epub", pages, ncx={"one.xhtml": "One"})
    documents, _, _ = read(folder, limit=2000)
    ids = [document.doc_id for document in documents]
    assert ids[:3] == [
        "0.epub/OEBPS/rights.xhtml",
        "0.epub/OEBPS/one.xhtml#0000",
        "0.epub/OEBPS/one.xhtml#0001",
    ]
    assert len(set(ids)) == len(ids)
    card = build_corpus(folder, tmp_path / "out")
    assert card["dropped"]["exact-duplicate"]["documents"] == 3
    assert card["read"]["files"] == 4
