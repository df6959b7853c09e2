"""Readers for named corpora whose files follow a convention of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homespun.core.types import Document
from homespun.corpus.sources.formats.encodings import UTF8, decode_stream
from homespun.corpus.sources.formats.tables import lines_of
from homespun.corpus.sources.items import SourceFile

_PAIRS_A_DOCUMENT = 40
_ARTICLE = re.compile(r"^ = (?!=)(.+?)(?<!=) = $")
_JOINED = re.compile(r" @([-,.])@ ")


def read_pairs(file: SourceFile) -> Iterator[Document]:
    """Translations, "one sentence TAB the other TAB attribution" a line, forty pairs a document.

    A pair stands on two lines, with a blank line between pairs: a model sees that they belong
    together. The attribution is part of the data card, not of the text.
    """
    pairs: list[str] = []
    number = 0
    with file.open() as stream:
        for line in lines_of(decode_stream(stream, UTF8)):
            cells = line.split("\t")
            if len(cells) >= 2 and cells[0] and cells[1]:
                pairs.append(f"{cells[0]}\n{cells[1]}")
            if len(pairs) == _PAIRS_A_DOCUMENT:
                yield _pairs_document(file, number, pairs)
                pairs, number = [], number + 1
    if pairs:
        yield _pairs_document(file, number, pairs)


def _pairs_document(file: SourceFile, number: int, pairs: list[str]) -> Document:
    return Document(f"{file.doc_id}#{number:04d}", "\n\n".join(pairs), file.source, "en+zh")


def read_wikitext(file: SourceFile) -> Iterator[Document]:
    """WikiText: an article a document; it begins at a line " = Title = ".

    The marks around divided numbers and words ("0 @.@ 7", "built @-@ in") are taken out; the
    spaces around punctuation and the word `<unk>` are part of the data set and stay.
    """
    article: list[str] = []
    number = 0
    with file.open() as stream:
        for line in lines_of(decode_stream(stream, UTF8)):
            if _ARTICLE.match(line) and any(text.strip() for text in article):
                yield _article(file, number, article)
                article, number = [], number + 1
            article.append(line)
    if article:
        yield _article(file, number, article)


def _article(file: SourceFile, number: int, lines: list[str]) -> Document:
    text = "\n".join(_JOINED.sub(r"\1", line).strip() for line in lines)
    return Document(f"{file.doc_id}#{number:04d}", text, file.source)
