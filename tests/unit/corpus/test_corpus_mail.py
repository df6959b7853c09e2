"""Mails become what somebody wrote in them: without heads, quoted mails and signatures."""

from __future__ import annotations

import io
import mailbox
import re
import textwrap
import time
import tracemalloc
from email.message import EmailMessage
from email.mime.message import MIMEMessage
from pathlib import Path

import pytest
from corpus_files import pack, read, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import DataError
from homespun.corpus.sources.formats.mail import decoded, mbox_messages, unflowed
from homespun.corpus.sources.formats.quotes import own_words

_ENVELOPE = b"From ann@example.org Mon Nov 30 05:22:18 2026\n"


def mail(text: str, *, subject: str = "", charset: str = "utf-8") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@example.org>"
    message["To"] = "bob@example.org"
    if subject:
        message["Subject"] = subject
    message.set_content(text, charset=charset)
    return message


def raw(text: str, content_type: str = "text/plain") -> bytes:
    head = f"From: ann@example.org\nContent-Type: {content_type}\n\n"
    return head.encode() + textwrap.dedent(text).encode()


def words(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "m.eml").write_bytes(data)
    return text_of(tmp_path / "m.eml")


@pytest.mark.parametrize("charset", ["utf-8", "gb2312", "gb18030", "big5"])
def test_a_chinese_mail_is_read_in_every_encoding(tmp_path: Path, charset: str) -> None:
    said = (
        "他們說這裡的人都知道那個地方。" if charset == "big5" else "他们说这里的人都知道那个地方。"
    )
    message = mail(said, subject=f"回复：{said}" * 4, charset=charset)
    (tmp_path / "m.eml").write_bytes(bytes(message))
    documents, _, log = read(tmp_path)
    (document,) = documents
    assert document.doc_id == "m.eml"
    assert document.text == f"{f'回复：{said}' * 4}\n\n{said}"
    assert document.metadata == {"title": f"回复：{said}" * 4}
    assert log.num_unreadable == 0


def test_what_a_mail_says_of_its_encoding_may_be_narrow_wrong_or_missing(tmp_path: Path) -> None:
    said = "镕是一个字，他们说这里的人都知道那个地方。"  # 镕 is in GBK, and not in GB 2312
    for charset in ("gb2312", "us-ascii", "iso-8859-1", "utf-8", "no-such", "hex", "punycode", ""):
        head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n"
        assert words(tmp_path, head.encode() + said.encode("gb18030")) == said
    assert decoded(b"plain-words", "punycode") == "plain-words"
    assert decoded(rb"C:\dir\x41", "unicode_escape") == r"C:\dir\x41"
    assert decoded("naïve café".encode("cp1252"), "iso-8859-1") == "naïve café"
    assert decoded("日本語の文章".encode("iso-2022-jp"), "iso-2022-jp") == "日本語の文章"


def test_a_subject_is_read_however_it_is_written(tmp_path: Path) -> None:
    said = "他们说这里的人都知道"
    head = b"Subject: " + said.encode("gb18030") + b"\nFrom: a@b\n\nbody words"
    assert words(tmp_path, head) == f"{said}\n\nbody words"
    assert words(tmp_path, b"Subject: =?gb2312?B?damaged?=\nFrom: a@b\n\nbody").endswith("\n\nbody")
    folded = b"Subject: =?utf-8?Q?One_?=\n =?utf-8?Q?two?= and\n three\n\nbody"
    assert words(tmp_path, folded) == "One two and three\n\nbody"


def test_of_several_forms_the_plain_one_is_read_and_no_attachment(tmp_path: Path) -> None:
    message = mail("the plain words")
    message.add_alternative("<p>the <b>marked</b> words</p>", subtype="html")
    message.add_attachment("attached words", filename="notes.txt")
    message.add_attachment(mail("another mail"))
    assert words(tmp_path, bytes(message)) == "the plain words"
    message = EmailMessage()
    message["Subject"] = "Digest"
    message.make_mixed()
    for number in range(2):
        message.attach(MIMEMessage(mail(f"words {number}", subject=f"Number {number}")))
    assert words(tmp_path, bytes(message)) == (
        "Digest\n\nNumber 0\n\nwords 0\n\nNumber 1\n\nwords 1"
    )
    message = mail(" ")
    message.add_alternative(
        "<p>the <b>marked</b> words</p>On Monday Bob wrote:<blockquote>old</blockquote>",
        subtype="html",
    )
    assert words(tmp_path, bytes(message)) == "the marked words"


_OWN = "Yes, I agree.\n\nSee you there."


@pytest.mark.parametrize(
    "below",
    [
        "> Do you?\n> Bob",
        "On Mon, 30 Nov 2026 at 05:22, Bob <b@example.org> wrote:\n\n> Do you?\n>\n> Bob",
        "On Mon, 30 Nov 2026 at 05:22, Bob the Builder\n<b@example.org>\nwrote:\n> Do you?",
        "在 2026年11月30日，张三 <z@example.org> 写道：\n> 你呢？",
        "-----Original Message-----\nFrom: Bob\nSent: Monday\n\nDo you?",
        "------------------ 原始邮件 ------------------\n发件人: 张三\n\n你呢？",
        "____________________\nFrom: Bob\nSent: Monday\nTo: Ann\nSubject: Do you?\n\nDo you?",
        "发件人: 张三\n发送时间: 2026年\n收件人: 李四\n主题: 你呢\n\n你呢？",
        "-- \nAnn\nThe Garden",
        "--\nAnn",
        "-- \nAnn\n\nBob wrote:\n> Do you?",
        "-- \nAnn\n\nBob wrote:\n" + "> Do you?\n> Really?\n\n" * 20,
        "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----",
    ],
)
def test_what_is_below_somebodys_words_is_not_theirs(below: str) -> None:
    assert own_words(f"{_OWN}\n\n{below}\n") == _OWN


def test_words_between_quotations_stay_and_so_does_what_only_looks_like_one() -> None:
    text = (
        "Bob wrote:\n> one?\n> really?\nYes.\n\n> two?\n\nNo.\nFrom: here\nTo: there\n--> an arrow"
    )
    assert own_words(text) == "Yes.\n\nNo.\nFrom: here\nTo: there\n--> an arrow"
    poem = "\n".join(["A line", "", "", "-- ", *["another line"] * 40])
    assert own_words(poem) == poem


def test_what_is_passed_on_is_text() -> None:
    head = "From: Bob\nDate: Monday\nSubject: News\nTo: Ann\n\n"
    passed = f"Look:\n\n---------- Forwarded message ---------\n{head}The news."
    assert own_words(passed) == "Look:\n\nThe news."
    assert own_words(passed.replace("Look:", "Look:\n\n-- \nAnn")) == "Look:\n\n\nThe news."
    assert own_words(f"{head}The news.") == "The news."
    assert own_words(f"-----Original Message-----\n{head}The news.") == "The news."


def test_a_sealed_mail_is_its_words() -> None:
    sealed = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nWords\n- - a point\n"
        "-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\niQEz\n-----END PGP SIGNATURE-----\n"
    )
    assert own_words(sealed) == "Words\n- a point"


_LINE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).map(lambda s: f"a {s}.")


@given(own=st.lists(_LINE, min_size=1), quoted=st.lists(_LINE, min_size=1))
@settings(max_examples=60, deadline=None)
def test_quoted_lines_go_and_no_other(own: list[str], quoted: list[str]) -> None:
    text = "\n".join(own)
    answered = "\n".join(f"> {line}" for line in quoted)
    assert own_words(text) == text
    assert own_words(f"{answered}\n{text}") == text
    assert own_words(f"{text}\n\nOn Monday Bob wrote:\n{answered}\n-- \nAnn") == text


def test_lines_broken_to_be_sent_are_put_together(tmp_path: Path) -> None:
    text = "One line \nthat goes on.\n From here.\n> asked \n> again\nAnother \n-- \nAnn"
    assert words(tmp_path, raw(text, "text/plain; format=flowed")) == (
        "One line that goes on.\nFrom here.\n\nAnother "
    )
    assert unflowed("分成 \n两行 \n> 引\n", deletes_space=True) == "分成两行\n> 引\n"
    assert words(tmp_path, raw("分成 \n两行", "text/plain; format=flowed; delsp=yes")) == "分成两行"


def test_mails_of_millions_of_lines_take_no_longer_than_their_length() -> None:
    start = time.process_time()
    unflowed("a \n" * 300_000, deletes_space=False)
    own_words("> a\n\n" * 300_000)
    own_words("\n" * 300_000 + "> a\n" * 300_000)
    own_words("From: a\nTo: b\n" * 300_000)
    own_words("schrieb " * 100_000 + "\n> a")
    own_words("schrieb " * 36 + "x\n" + "> a\n" * 100_000)
    assert time.process_time() - start < 8


_BODY = st.lists(
    st.sampled_from(["From here on", ">From there", "", "words", ">>From x", "From a b 10:00"])
    | st.text(st.characters(codec="ascii", exclude_categories=("C",)), max_size=9)
).map(lambda lines: "\n".join(lines) + "\n")


@given(bodies=st.lists(_BODY, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_folders_of_mails_are_divided_as_the_standard_library_does(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[str]
) -> None:
    path = tmp_path_factory.mktemp("m") / "mbox"
    box = mailbox.mbox(path)
    for number, body in enumerate(bodies):
        box.add(f"Subject: {number}\n\n{body}".encode())
    box.flush()
    slowly = [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118 (no mapping)
    box.close()
    with open(path, "rb") as stream:
        found = [data for data in mbox_messages(stream) if data is not None]
    # The library leaves the mark before "From " in place that it has put there itself.
    expected = [re.sub(rb"(?m)^>(>*From )", rb"\1", data) for data in slowly]
    assert [data.rstrip(b"\n") for data in found] == [data.rstrip(b"\n") for data in expected]


def test_mails_of_a_folder_are_numbered_and_those_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.corpus.sources.formats.mail.MAX_PAGE", 5_000)
    mails = [
        bytes(mail("first words\n\nFrom now on, all is text.\n", subject="第一")),
        raw("--b\n\nhQE\n--b--", "multipart/encrypted; boundary=b"),
        bytes(mail("-----BEGIN PGP MESSAGE-----\n\nhQE\n-----END PGP MESSAGE-----")),
        raw("long " * 2_000 + "\n" + "line\n" * 2_000),
        bytes(mail("> only quoted")),
        b"\nno head at all\n",
        bytes(mail("last words")),
    ]
    data = b"".join(_ENVELOPE + data.replace(b"\r\n", b"\n") + b"\n\n" for data in mails)
    for name in ("mail.mbox", "mbox"):
        (tmp_path / name).write_bytes(data)
    pack(tmp_path / "z.zip", {"All mail.mbox": data})
    (tmp_path / "empty.mbox").write_bytes(b"")
    (tmp_path / "other.mbox").write_bytes(b"words")
    documents, rejected, log = read(tmp_path)
    texts = ["第一\n\nfirst words\n\nFrom now on, all is text.", "last words"]
    assert {document.doc_id: document.text for document in documents} == {
        f"{name}#{number:07d}": text
        for name in ("mail.mbox", "mbox", "z.zip/All mail.mbox")
        for number, text in zip((1, 7), texts, strict=True)
    }
    told = {row["path"]: row["why"] for row in log.unreadable}
    assert {path: why for path, why in told.items() if path.startswith("mail.mbox")} == {
        "mail.mbox#0000002": "it is encrypted",
        "mail.mbox#0000003": "it is encrypted",
        "mail.mbox#0000004": "a mail of more than 32 MB",
        "mail.mbox#0000006": "it is no mail",
    }
    assert "does not begin" in told["other.mbox"]
    assert [item.doc_id for item in rejected] == ["empty.mbox"]
    assert log.notes[0] == "mail.mbox: mails without words of their own: 1"


def test_a_mail_that_cannot_be_read_says_why_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"\nwords without a head\n")
    with pytest.raises(DataError, match=r"a\.eml: it is no mail; save it as \.eml again"):
        read(tmp_path / "a.eml")
    (tmp_path / "b.eml").write_bytes(raw("-- \nAnn"))
    documents, rejected, log = read(tmp_path)
    assert not documents
    assert [(item.doc_id, item.reason) for item in rejected] == [("b.eml", "empty")]
    assert [row["path"] for row in log.unreadable] == ["a.eml"]


def test_a_mail_begins_after_a_blank_line_and_with_a_time() -> None:
    text = b"words\nFrom here at 10:00 on\n\nFrom there, on\n"
    stream = io.BytesIO(_ENVELOPE + text + b"\n" + _ENVELOPE + b"more\n")
    assert list(mbox_messages(stream)) == [text + b"\n", b"more\n"]
    stream = io.BytesIO(b"From nobody\none\n\nFrom nobody\ntwo\n")
    assert list(mbox_messages(stream)) == [b"one\n\n", b"two\n"]


def test_mails_within_mails_without_end_take_no_other_with_them(tmp_path: Path) -> None:
    inner = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(2_000)
    )
    deep = f"{inner}Content-Type: text/plain\n\nwords\n\n".encode()
    other = bytes(mail("other words"))
    (tmp_path / "a.mbox").write_bytes(_ENVELOPE + deep + _ENVELOPE + other)
    documents, _, log = read(tmp_path)
    assert [document.text for document in documents] == ["other words"]
    assert [row["path"] for row in log.unreadable] == ["a.mbox#0000001"]


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"Content-Type: text/plain" + b";a" * 600_000, "a header of it is absurdly long"),
        (b"Subject: " + b"=?a?q?b?=\n " * 200_000, "a header of it is absurdly long"),
        (
            b"".join(
                b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
                for n in range(200)
            )
            + b"\n" * 1_000_000,
            "it has absurdly many lines or parts",
        ),
    ],
    ids=["parameters", "words", "parts"],
)
def test_a_mail_made_to_take_forever_is_told_at_once(tmp_path: Path, head: bytes, why: str) -> None:
    (tmp_path / "a.eml").write_bytes(head + b"\n\nwords\n")
    (tmp_path / "b.eml").write_bytes(bytes(mail("other words", subject="一" * 500)))
    start = time.process_time()
    documents, _, log = read(tmp_path)
    assert time.process_time() - start < 5
    assert [row["why"] for row in log.unreadable] == [why]
    assert len(documents) == 1


def test_a_line_without_end_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.corpus.sources.formats.mail.MAX_PAGE", 1 << 20)
    stream = io.BytesIO(_ENVELOPE + b"x" * (16 << 20) + b"\n\n" + _ENVELOPE + b"y")
    tracemalloc.start()
    try:
        assert list(mbox_messages(stream)) == [None, b"y"]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
