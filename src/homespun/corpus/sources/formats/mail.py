"""The words of mails: single ones (.eml) and whole folders of them (.mbox).

A mail is a document: its subject, and what was written in it. The mails it answers are left out,
as they are documents themselves where they were kept; so are attachments and all other headers.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from typing import BinaryIO

from homespun.core.errors import DataError
from homespun.core.types import Document
from homespun.corpus.sources.files import MAX_PAGE, read_page
from homespun.corpus.sources.formats.encodings import SAMPLE_BYTES, UNKNOWN, WIDE, detect_encoding
from homespun.corpus.sources.formats.markup import DROPPED, html_text
from homespun.corpus.sources.formats.quotes import own_words
from homespun.corpus.sources.items import ReadLog, SourceFile

_QUOTED = DROPPED | {"blockquote"}
_LONGEST_LINE = 1 << 16
# `email` takes the square of the time for what these headers have of parameters and encoded words,
# and looks at each line once for each part that is open around it.
_LONGEST_HEADER = 4096
_LONG_HEADER = re.compile(
    rb"^(?:Content-(?:Type|Disposition)|Subject):(?:[^\r\n]|\r?\n[ \t]){%d}" % _LONGEST_HEADER,
    re.MULTILINE | re.IGNORECASE,
)
_MOST_LOOKS, _MOST_OPEN = 20_000_000, 300
"""Lines by parts around them; no more than so many parts are opened in one another."""
_ENVELOPE = re.compile(rb"From \S.*\d:\d\d")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_SECRET = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_PGP_SECRET = "-----BEGIN PGP MESSAGE-----"
# What a mail may call its encoding and is none of text, or one that takes ever longer to read.
_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
# Said of everything; what it is the bytes tell.
_SAID_OF_ALL = ("ascii", "iso8859-1", "iso8859-15", "cp1252")
# What `email` raises of headers and nesting that nobody meant.
_STRANGE = (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def read_eml(file: SourceFile) -> Iterator[Document]:
    """The one mail of a file; nothing where it has no words.

    Raises:
        DataError: too large, locked, or no mail.
    """
    with file.open() as stream:
        document = _read_mail(read_page(stream), file.doc_id, file.source)
    if document is not None:
        yield document


def read_mbox(file: SourceFile, log: ReadLog) -> Iterator[Document]:
    """Mails of a folder in one file, in its order; ids are the file's and their number.

    Mails that cannot be read are listed in `log`.

    Raises:
        DataError: it is no such file.
    """
    num_wordless = 0
    with file.open() as stream:
        for number, data in enumerate(mbox_messages(stream), start=1):
            doc_id = f"{file.doc_id}#{number:07d}"
            if data is None:
                log.add_unreadable(doc_id, "a mail of more than 32 MB")
                continue
            try:
                document = _read_mail(data, doc_id, file.source)
            except DataError as error:
                log.add_unreadable(doc_id, error.what)
                continue
            if document is None:
                num_wordless += 1
            else:
                yield document
    if num_wordless:
        log.note(f"{file.doc_id}: mails without words of their own: {num_wordless}")


def mbox_messages(stream: BinaryIO) -> Iterator[bytes | None]:
    """Mails as bytes, without the line that parts them; None for one that is too large.

    One begins at a line "From …" with a time of day, after a blank line; text may begin so too.

    Raises:
        DataError: the first line is none.
    """
    first = stream.readline(_LONGEST_LINE)
    if not first:
        return
    if not first.startswith(b"From "):
        raise DataError(
            "it does not begin as a folder of mails does", remedy="export it as mbox again"
        )
    envelope = _ENVELOPE if _ENVELOPE.match(first) else re.compile(rb"From \S")
    lines = bytearray()  # a list of short ones takes many times their size
    size, is_line_start, was_blank = 0, first.endswith(b"\n"), False
    while line := stream.readline(_LONGEST_LINE):
        if is_line_start and was_blank and envelope.match(line):
            yield _unescaped(lines) if size <= MAX_PAGE else None
            lines, size = bytearray(), 0
        else:
            size += len(line)
            lines += line
            if size > MAX_PAGE:
                lines.clear()
        was_blank = is_line_start and not line.strip()
        is_line_start = line.endswith(b"\n")
    yield _unescaped(lines) if size <= MAX_PAGE else None


def _unescaped(lines: bytearray) -> bytes:
    """Lines of text that begin with "From " have a ">" before it in such files."""
    return _ESCAPED.sub(rb"\1", lines)


def _read_mail(data: bytes, doc_id: str, source: str) -> Document | None:
    """Subject and words of a mail; None without words.

    Raises:
        DataError: locked, no mail, or made to take forever.
    """
    _check_effort(data)
    try:
        message = message_from_bytes(data)
        if not message.keys():
            raise DataError("it is no mail", remedy="save it as .eml again")
        if _is_secret(message):
            raise DataError("it is encrypted", remedy="save it decrypted")
        body = _body(message)
        if body.lstrip().startswith(_PGP_SECRET):
            raise DataError("it is encrypted", remedy="save it decrypted")
        words = own_words(body)
        subject = _subject(message)
    except _STRANGE as error:
        raise DataError(f"it is damaged: {error}", remedy="save it as .eml again") from error
    if not words.strip():
        return None
    metadata = {"title": subject} if subject else {}
    text = f"{subject}\n\n{words}" if subject else words
    return Document(doc_id, text, source, metadata=metadata)


def _check_effort(data: bytes) -> None:
    """Raises DataError where a mail would take minutes to read, as none that was sent does."""
    if _LONG_HEADER.search(data):
        raise DataError("a header of it is absurdly long", remedy="save its text as .txt")
    num_around = min(data.lower().count(b"boundary"), _MOST_OPEN)
    if data.count(b"\n") * (1 + num_around) > _MOST_LOOKS:
        raise DataError("it has absurdly many lines or parts", remedy="save its text as .txt")


def _is_secret(message: Message) -> bool:
    return message.get_content_type() == "multipart/encrypted" or (
        message.get_content_type() in _SECRET
        and str(message.get_param("smime-type", "enveloped-data")) != "signed-data"
    )


def _subject(message: Message) -> str:
    value = message.get("Subject", "")
    try:
        parts = decode_header(value)
    except MessageError:
        parts = [(str(value), None)]
    words = [
        part if isinstance(part, str) else decoded(part, charset or "") for part, charset in parts
    ]
    return " ".join("".join(words).split())


def _body(part: Message) -> str:
    """The text of a part and those in it, mails that are passed on whole and digests included; of
    several forms of one text the plain one."""
    kind = part.get_content_type()
    inner = part.get_payload() if part.is_multipart() else []
    parts = [p for p in inner if isinstance(p, Message)] if isinstance(inner, list) else []
    if part.get_content_maintype() == "multipart":
        if kind == "multipart/alternative":
            plain = [p for p in parts if p.get_content_type() == "text/plain"]
            return next(
                (text for p in [*plain, *reversed(parts)] if (text := _body(p)).strip()), ""
            )
        return "\n\n".join(text for p in parts if (text := _body(p)).strip())
    if part.get_content_disposition() == "attachment" or part.get_filename():
        return ""
    if kind == "message/rfc822" and parts:
        return f"{_subject(parts[0])}\n\n{_body(parts[0])}".strip("\n")
    if kind not in ("text/plain", "text/html"):
        return ""
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    text = decoded(data, part.get_content_charset() or "")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind == "text/html":
        return html_text(text, dropped=_QUOTED)[0].strip()
    if str(part.get_param("format", "")).lower() == "flowed":
        text = unflowed(text, deletes_space=str(part.get_param("delsp", "")).lower() == "yes")
    return text.strip("\n")


def decoded(data: bytes, charset: str) -> str:
    """The text of bytes by what a mail says of their encoding, where that can be: wider encodings
    are taken for those in them, and where it is not right what the bytes look like."""
    try:
        name = codecs.lookup(charset).name if charset else "ascii"
    except (LookupError, ValueError):
        name = "ascii"
    if name not in (*_NO_ENCODINGS, *_SAID_OF_ALL):
        try:
            return data.decode(WIDE.get(name, name))
        except (LookupError, ValueError):  # `LookupError` of what is no encoding of text
            pass
    found = detect_encoding(data[:SAMPLE_BYTES]) if data else None
    if found is None or found is UNKNOWN:
        return data.decode("utf-8", "replace")
    return data.decode(found.codec, "replace")


def unflowed(text: str, *, deletes_space: bool) -> str:
    """Lines that were only broken to be sent, put together again (RFC 3676).

    Args:
        deletes_space: the space at which a line was broken is not of the text.
    """
    lines: list[list[str]] = []
    is_open, depth_before = False, 0
    for line in text.split("\n"):
        inner = line.lstrip(">")
        depth = len(line) - len(inner)
        inner = inner.removeprefix(" ")
        is_signature = inner == "-- "
        if not is_open or depth != depth_before or is_signature:
            lines.append([f"{'>' * depth} "] if depth else [])
        is_open, depth_before = inner.endswith(" ") and not is_signature, depth
        lines[-1].append(inner[:-1] if is_open and deletes_space else inner)
    return "\n".join("".join(parts) for parts in lines)
