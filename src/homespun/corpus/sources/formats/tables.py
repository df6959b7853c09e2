"""Texts in rows: JSON lines, JSON arrays, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, cast

from homespun.core.errors import DataError
from homespun.core.types import Document
from homespun.corpus.sources.files import seekable
from homespun.corpus.sources.formats.encodings import Encoding, decode_stream
from homespun.corpus.sources.items import ReadLog, SourceFile

TEXT_FIELDS = (
    *("text", "content", "body", "paragraphs", "article", "document", "story"),
    *("正文", "文本", "内容", "文章"),
)
_TITLE_FIELDS = ("title", "rhythmic", "author", "标题", "题目", "作者")
_MAX_LINE = 64 << 20
_MAX_JSON = 64 << 20
_MAX_CELL = 1 << 24
_MAX_DEPTH = 5
_LOOKED_AT = 1 << 20
_NUM_SAMPLED = 200
_NOWHERE = "\x1f"
"""A separator that no text has."""


def read_json_lines(file: SourceFile, encoding: Encoding, log: ReadLog) -> Iterator[Document]:
    """One document a line, from its field `text` (or `content`, `body`, …).

    A line that is not such an object is an error where the user named the file, and is listed as
    unreadable elsewhere; the lines around it are read all the same.

    Raises:
        DataError: naming the line.
    """
    with file.open() as stream:
        lines = lines_of(decode_stream(stream, encoding))
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                text, title = _row_text(_parse(line))
            except DataError as error:
                if file.explicit:
                    raise DataError(
                        f"line {number} of {file.doc_id} {error.what}", remedy=error.remedy
                    ) from error
                log.add_unreadable(f"{file.doc_id} line {number}", error.what)
                continue
            metadata = {"title": title} if title else {}
            yield Document(f"{file.doc_id}#{number:07d}", text, file.source, metadata=metadata)


def holds_json_lines(file: SourceFile, encoding: Encoding) -> bool:
    """Whether a file whose name ends in .json holds an object a line, as some data sets do."""
    with file.open() as stream:
        begin = stream.read(_LOOKED_AT).decode(encoding.codec, "replace")
    lines = list(islice((line for line in begin.split("\n") if line.strip()), 2))
    try:
        return len(lines) == 2 and all(isinstance(_parse(line), Mapping) for line in lines)
    except DataError:
        return False


def _parse(text: str, remedy: str = "mend or remove that line") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("is not JSON", remedy=remedy) from error


def _row_text(row: Any) -> tuple[str, str]:
    """(text, title) of a JSON object; a list of strings as text makes lines."""
    if not isinstance(row, Mapping):
        raise DataError("is not a JSON object", remedy='write {"text": "…"} on every line')
    lowered = {str(key).lower(): value for key, value in row.items()}
    for name in TEXT_FIELDS:
        value = lowered.get(name)
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            value = "\n".join(value)
        if isinstance(value, str):
            heads = [lowered.get(field) for field in _TITLE_FIELDS]
            title = " ".join(head for head in heads if isinstance(head, str) and head)
            return value, title
    raise DataError("has no text field", remedy="name the field one of: " + ", ".join(TEXT_FIELDS))


def lines_of(blocks: Iterator[str]) -> Iterator[str]:
    """Lines of a stream of blocks; one of more than 64 million characters is refused."""
    rest = ""
    for block in blocks:
        head, newline, tail = block.rpartition("\n")
        if newline:
            yield from (rest + head).split("\n")
            rest = tail
        else:
            rest += tail
        if len(rest) > _MAX_LINE:
            raise DataError("a line is longer than 64 MB", remedy="check that it is JSON lines")
    if rest:
        yield rest


def read_json(file: SourceFile, encoding: Encoding) -> Iterator[Document]:
    """Documents of a JSON array of objects with a text; title and author go on top of the text.

    Such files (poem collections among them) hold short texts whose title belongs to them.

    Raises:
        DataError: too large, not JSON, or without any text.
    """
    if file.size > _MAX_JSON:
        raise DataError("a JSON file of more than 64 MB", remedy="convert it to JSON lines")
    with file.open() as stream:
        value = _parse("".join(_bounded(decode_stream(stream, encoding))), "mend it")
    found = False
    for number, (text, title) in enumerate(_texts_in(value), start=1):
        found = True
        whole = f"{title}\n\n{text}" if title else text
        metadata = {"title": title} if title else {}
        yield Document(f"{file.doc_id}#{number:07d}", whole, file.source, metadata=metadata)
    if not found:
        raise DataError(
            "no object in it has a text", remedy="name the field one of: " + ", ".join(TEXT_FIELDS)
        )


def _bounded(blocks: Iterator[str]) -> Iterator[str]:
    """The blocks, up to a length: a packed file may hold far more than its size says."""
    left = _MAX_JSON
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise DataError("a JSON file of more than 64 MB", remedy="convert it to JSON lines")
        yield block


def _texts_in(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(text, title) of every object with a text, in lists and objects up to five deep."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _texts_in(item, depth + 1)
    elif isinstance(value, Mapping):
        try:
            text, title = _row_text(value)
        except DataError:
            for inner in value.values():
                if isinstance(inner, list | Mapping):
                    yield from _texts_in(inner, depth + 1)
        else:
            yield text, title


def read_table(file: SourceFile, encoding: Encoding, log: ReadLog) -> Iterator[Document]:
    """One document a row of a CSV or TSV file, from its text column.

    That is the column named like one of `TEXT_FIELDS` or, without one, the one with the longest
    texts in the first rows; the card's notes say which it was. Between tabs quotation marks are
    text, unless all of the first rows are written with marks around cells. Cells beyond those of
    the header belong to a text that is the last column: its separators were not quoted. Where the
    first rows are all longer by as many cells, these are columns without a name, and no text.
    """
    before = csv.field_size_limit(_MAX_CELL)
    try:
        with file.open() as stream:
            lines = lines_of(decode_stream(stream, encoding))
            begin = list(islice(lines, _NUM_SAMPLED))
            first = begin[0] if begin else ""
            separator = "\t" if file.name.lower().endswith(".tsv") else _separator(first)
            is_quoted = separator != "\t" or _is_quoted(begin)
            reader = csv.reader(
                (line + "\n" for line in chain(begin, lines)),
                delimiter=separator,
                quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
            )
            sampled = [row for _, row in zip(range(_NUM_SAMPLED), reader, strict=False) if row]
            if not sampled:
                return
            header = sampled[0] if _is_header(sampled) else []
            body = sampled[1:] if header else sampled
            column = _text_column(header, body)
            shown = header[column] if column < len(header) else f"number {column + 1}"
            log.note(f"{file.doc_id}: the text is column '{shown}'")
            takes_rest = _takes_rest(header, body, column)
            for number, row in enumerate(_rows(body, reader), start=1):
                if len(row) > column:
                    cells = row[column:] if takes_rest else row[column : column + 1]
                    while len(cells) > 1 and not cells[-1]:
                        cells.pop()  # what a spreadsheet fills its rows up with
                    text = separator.join(cells)
                    yield Document(f"{file.doc_id}#{number:07d}", text, file.source)
    finally:
        csv.field_size_limit(before)


def _takes_rest(header: list[str], body: list[list[str]], column: int) -> bool:
    """Whether cells beyond the header are of the text too; of one row alone they may well be."""
    if not header or column != len(header) - 1:
        return False
    lengths = {len(row) for row in body}
    return len(body) < 2 or len(lengths) > 1 or max(lengths) <= len(header)


def _is_quoted(lines: list[str]) -> bool:
    """Whether rows between tabs have quotation marks around cells, those inside doubled, as
    spreadsheets write them. Else one mark at the beginning of a cell would take in all rows up to
    the next one."""
    if not any(cell.startswith('"') for line in lines for cell in line.split("\t")):
        return True  # it is all the same
    reader = csv.reader((line + "\n" for line in lines), delimiter="\t", strict=True)
    num_rows = 0
    try:
        for _ in reader:
            num_rows += 1
    except csv.Error as error:
        if "unexpected end of data" not in str(error) or len(lines) < _NUM_SAMPLED:
            return False
        num_rows += 1  # the last one goes on
    # Cells of several lines have fewer tabs on some of them.
    return num_rows == len(lines) or len({line.count("\t") for line in lines}) > 1


def _rows(body: list[list[str]], reader: Iterator[list[str]]) -> Iterator[list[str]]:
    yield from body
    yield from reader


def _separator(line: str) -> str:
    if line.strip().strip('"').lower() in TEXT_FIELDS:
        return _NOWHERE  # the one column there is: commas are the text's own
    return max(",;\t|", key=line.count)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Names are short, distinct and not numbers; one that fits `TEXT_FIELDS` settles it."""
    cells = [cell.strip() for cell in rows[0]]
    if any(cell.lower() in TEXT_FIELDS for cell in cells):
        return True
    short = all(cell and len(cell) <= 40 and "\n" not in cell for cell in cells)
    numbers = any(cell.replace(".", "", 1).lstrip("-").isdigit() for cell in cells)
    return short and not numbers and len(set(cells)) == len(cells) and len(rows) > 1


def _text_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    names = [name.strip().lower() for name in header]
    for name in TEXT_FIELDS:
        if name in names:
            return names.index(name)
    lengths: dict[int, int] = {}
    for row in rows:
        for index, cell in enumerate(row):
            lengths[index] = lengths.get(index, 0) + len(cell)
    return max(lengths, key=lambda index: (lengths[index], -index)) if lengths else 0


def read_parquet(file: SourceFile, log: ReadLog) -> Iterator[Document]:
    """One document a row of a Parquet file, from its text column, read batch by batch.

    Raises:
        DataError: it has no column of strings, or is packed and too large.
    """
    import pyarrow.parquet as pq
    import pyarrow.types as types

    with file.open() as stream:
        table: Any = pq.ParquetFile(seekable(stream))  # type: ignore[no-untyped-call]
        strings = [
            field.name
            for field in table.schema_arrow
            if types.is_string(field.type) or types.is_large_string(field.type)
        ]
        if not strings:
            raise DataError("it has no column of texts", remedy="add a column 'text'")
        column = next((n for f in TEXT_FIELDS for n in strings if n.lower() == f), "")
        if not column:
            sample = next(table.iter_batches(batch_size=_NUM_SAMPLED, columns=strings), None)
            sizes = {
                name: sum(len(v or "") for v in sample.column(name).to_pylist()) if sample else 0
                for name in strings
            }
            column = max(strings, key=lambda name: sizes[name])
        log.note(f"{file.doc_id}: the text is column '{column}'")
        number = 0
        for batch in table.iter_batches(batch_size=1024, columns=[column]):
            for value in batch.column(0).to_pylist():
                number += 1
                if value is not None:
                    yield Document(f"{file.doc_id}#{number:07d}", cast(str, value), file.source)
