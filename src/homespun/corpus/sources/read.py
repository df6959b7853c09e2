"""One file in, documents out: the reader for each kind of file, and what is done when it fails."""

from __future__ import annotations

import csv
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import zstandard

from homespun.core.errors import BudgetError, DataError, HomespunError
from homespun.core.types import Document
from homespun.corpus.sources import files as kinds
from homespun.corpus.sources.archives import members
from homespun.corpus.sources.formats.chunks import split_documents, split_text
from homespun.corpus.sources.formats.docx import docx_text
from homespun.corpus.sources.formats.encodings import (
    SAMPLE_BYTES,
    UNKNOWN,
    Encoding,
    declared_encoding,
    decode_stream,
    detect_encoding,
    read_sample,
)
from homespun.corpus.sources.formats.epub import read_epub
from homespun.corpus.sources.formats.mail import read_eml, read_mbox
from homespun.corpus.sources.formats.markdown import markdown_text
from homespun.corpus.sources.formats.markup import html_text, rst_text
from homespun.corpus.sources.formats.odt import odt_text
from homespun.corpus.sources.formats.pdf import pdf_text
from homespun.corpus.sources.formats.special import read_pairs, read_wikitext
from homespun.corpus.sources.formats.tables import (
    holds_json_lines,
    read_json,
    read_json_lines,
    read_parquet,
    read_table,
)
from homespun.corpus.sources.items import Item, ReadLog, Rejected, SourceFile

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a packing method of zip that Python does not know
    RecursionError,
    zstandard.ZstdError,
    DataError,
)

# What is read in parts, or needs more than decoding.
_WHOLE = kinds.EPUB | kinds.DOCX | kinds.ODT | kinds.PDF | kinds.MAIL | kinds.MAILBOX
_SPECIAL = {"pairs": read_pairs, "wikitext": read_wikitext}

# Given a file's size, the length in characters above which its text is cut into documents.
Limit = Callable[[int], int]


def read_file(
    file: SourceFile, log: ReadLog, limit: Limit, *, reader: str = "auto"
) -> Iterator[Item]:
    """Documents of one file or of the members of one archive.

    Args:
        reader: "auto" goes by the suffix; "pairs" and "wikitext" are for named corpora.

    What cannot be read is listed in `log` and passed over.

    Raises:
        DataError: where the user named this very file.
    """
    try:
        if kinds.is_archive(file.name):
            for member in members(file, log.add_unreadable):
                yield from read_file(member, log, limit, reader=reader)
            return
        log.num_files += 1
        if reader in _SPECIAL:
            log.encodings["utf-8"] += 1
            yield from cut(_SPECIAL[reader](file), limit)
        else:
            yield from _read(file, log, limit)
    except BudgetError:
        raise
    except _READ_ERRORS as error:
        why = _why(error)
        if file.explicit:
            if isinstance(error, DataError):
                raise DataError(f"{file.doc_id}: {error.what}", remedy=error.remedy) from error
            raise DataError(
                f"{file.doc_id} cannot be read: {why}", remedy="check that the file is whole"
            ) from error
        log.add_unreadable(file.doc_id, why)


def _why(error: BaseException) -> str:
    if isinstance(error, HomespunError):
        return error.what
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _read(file: SourceFile, log: ReadLog, limit: Limit) -> Iterator[Item]:
    suffix = kinds.suffix_of(file.name)
    if suffix in kinds.PARQUET:
        yield from cut(read_parquet(file, log), limit)
        return
    if suffix in _WHOLE:
        yield from _or_empty(_read_whole(file, suffix, log, limit), file)
        return
    is_read = suffix in kinds.SUFFIXES or file.explicit
    with file.open() as stream:
        sample = read_sample(stream) if is_read else stream.read(SAMPLE_BYTES)
    if not sample:
        yield Rejected(file.doc_id, file.source, "empty", 0)
        return
    encoding = detect_encoding(sample)
    if encoding is None:
        yield Rejected(file.doc_id, file.source, "binary", file.size)
        return
    if not is_read:
        yield Rejected(file.doc_id, file.source, "unsupported", file.size)
        return
    if suffix in kinds.HTML:
        encoding = declared_encoding(sample, encoding)
    if encoding is UNKNOWN:
        log.note(f"{file.doc_id}: neither UTF-8, Chinese nor Western: convert it to UTF-8")
        yield Rejected(file.doc_id, file.source, "undecodable", file.size)
        return
    log.encodings[encoding.name] += 1
    yield from _read_text(file, suffix, encoding, log, limit)


def _read_whole(file: SourceFile, suffix: str, log: ReadLog, limit: Limit) -> Iterator[Document]:
    """Documents of what is no text by itself: books, office documents, PDF and mails."""
    tell = log.add_unreadable
    if suffix in kinds.MAIL:
        yield from cut(read_eml(file), limit)
    elif suffix in kinds.MAILBOX:
        yield from cut(read_mbox(file, log), limit)
    elif suffix in kinds.EPUB:
        for chapter, blocks in read_epub(file, tell):
            yield from numbered(chapter, split_text(blocks, limit(file.size)))
    else:
        if suffix in kinds.PDF:
            blocks = pdf_text(file, tell)
        else:
            blocks = docx_text(file) if suffix in kinds.DOCX else odt_text(file)
        whole = Document(file.doc_id, "", file.source)
        yield from numbered(whole, split_text(blocks, limit(file.size)))


def _or_empty(documents: Iterator[Document], file: SourceFile) -> Iterator[Item]:
    """The documents; where there is none, as in a book of pictures, a word of that."""
    num = 0
    for document in documents:
        num += 1
        yield document
    if not num:
        yield Rejected(file.doc_id, file.source, "empty", file.size)


def _read_text(
    file: SourceFile, suffix: str, encoding: Encoding, log: ReadLog, limit: Limit
) -> Iterator[Item]:
    if suffix in kinds.JSON_LINES:
        yield from cut(read_json_lines(file, encoding, log), limit)
    elif suffix in kinds.JSON:
        if holds_json_lines(file, encoding):
            yield from cut(read_json_lines(file, encoding, log), limit)
        else:
            yield from cut(read_json(file, encoding), limit)
    elif suffix in kinds.TABLE:
        yield from cut(read_table(file, encoding, log), limit)
    elif suffix in kinds.HTML:
        text, title = html_text(_whole(file, encoding))
        metadata = {"title": title} if title else {}
        page = Document(file.doc_id, text, file.source, metadata=metadata)
        yield from cut([page], limit, file.size)
    elif suffix in kinds.RST:
        page = Document(file.doc_id, rst_text(_whole(file, encoding)), file.source)
        yield from cut([page], limit, file.size)
    elif suffix in kinds.MARKDOWN and file.size <= kinds.MAX_PAGE:
        page = Document(file.doc_id, markdown_text(_whole(file, encoding)), file.source)
        yield from cut([page], limit, file.size)
    else:
        language = "code" if suffix in kinds.CODE else "und"
        whole = Document(file.doc_id, "", file.source, language)
        with file.open() as stream:
            blocks = decode_stream(stream, encoding)
            yield from numbered(whole, split_documents(blocks, limit(file.size)))


def _whole(file: SourceFile, encoding: Encoding) -> str:
    with file.open() as stream:
        data = kinds.read_page(stream)
    return data.decode(encoding.codec, "replace").replace("\r\n", "\n").replace("\r", "\n")


def cut(documents: Iterable[Document], limit: Limit, size: int = 0) -> Iterator[Document]:
    """Documents, those too long for one cut at paragraph borders."""
    longest = limit(size)
    for document in documents:
        if len(document.text) <= longest:
            yield document
        else:
            yield from numbered(document, split_text([document.text], longest))


def numbered(document: Document, pieces: Iterator[str]) -> Iterator[Document]:
    """`document` with each of the pieces as its text; `#0000` and so on if there are several."""
    first = next(pieces, None)
    if first is None:
        return
    second = next(pieces, None)
    if second is None:
        yield replace(document, text=first)
        return
    yield replace(document, doc_id=f"{document.doc_id}#0000", text=first)
    yield replace(document, doc_id=f"{document.doc_id}#0001", text=second)
    for number, piece in enumerate(pieces, start=2):
        yield replace(document, doc_id=f"{document.doc_id}#{number:04d}", text=piece)
