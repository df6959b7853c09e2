"""A user's file as rows: CSV, TSV, JSON lines, JSON, Parquet, or tagged words a line.

Whatever the format, a row is a dictionary from column names to values, and what a task wants of it
is looked up by name: by the name the user gave, else by the usual ones.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

from homespun.core import DataError, did_you_mean
from homespun.core.files import os_error, typed
from homespun.corpus.sources.files import printable
from homespun.corpus.sources.formats.encodings import (
    UTF8,
    Encoding,
    detect_encoding,
    read_sample,
    sure_encoding,
)
from homespun.recipes.applications.nested import flat, is_nested
from homespun.recipes.applications.tables import other_separator, table_rows
from homespun.tokenizer.encoders import normalise

Row = Mapping[str, Any]
STDIN = "-"
_TEXT_A_LINE = (".txt", ".md")
_TABLES = "plain text has a text a line and no other column; a table's name ends in .csv or .tsv"
_WORDS_A_LINE = (".conll", ".conllu", ".bio", ".bmes", ".iob")
_NEW_DOCUMENT = "-DOCSTART-"
"""Begins a document in files of the CoNLL tasks, and is no word of any."""
_DOCUMENT = re.compile(r"#\s*newdoc\b")
"""Begins one in CoNLL-U."""
_BLANKS = re.compile(" +")
"""What parts a word from its tag; a wide or an unbreakable space is a word."""
_REMARK = re.compile(r"#[ \t]+[\w.:-]+[ \t]*=|# +id +\S")
"""Before a sentence, as CoNLL-U and what came of it have it, and MultiCoNER."""
_LIST = re.compile(r"\[\s*(?:(['\"]).*\1|-?[\d.]+(?:[\s,]+-?[\d.]+)+),?\s*\]", re.DOTALL)
"""['a', 'b'] or [1, 2], also without commas, as numpy has it."""
_WHOLE = re.compile(r"-?\d+(\.0+)?")
_ICONV = {"big5hkscs": "BIG5-HKSCS", "cp950": "CP950", "cp1252": "CP1252"}
"""What iconv calls an encoding that is likely and not sure."""
_FORMATS = "csv, tsv, jsonl, json, parquet, txt, conll, conllu, bio, bmes"


class Column(NamedTuple):
    """What a task wants of a row.

    Attributes:
        name: what the task calls it.
        usual: names it has in files, best first; `name` itself is one of them always.
        what: of it, for messages ("the text to be classified").
        may_be_empty: an empty cell says something.
    """

    name: str
    usual: tuple[str, ...]
    what: str
    may_be_empty: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        return (self.name, *self.usual)


def read_rows(
    path: Path, *, names: Mapping[str, str] | None = None, with_gold: bool = True
) -> list[Row]:
    """All rows of a file, see `iter_rows`."""
    return list(iter_rows(path, names=names, with_gold=with_gold))


def iter_rows(
    path: Path, *, names: Mapping[str, str] | None = None, with_gold: bool = True
) -> Iterator[Row]:
    """The rows of a file as they are read; `-` is standard input, JSON lines or plain text, a text
    a line. Questions within passages, as SQuAD's JSON has them, are rows, see `nested`.

    A name of a column that is a number means that the file has no line of names: then columns are
    "1", "2", … A text file has one column, "text"; files of tagged words have "tokens" and "tags",
    of CoNLL-U sentences also "upos" and "xpos", and "document", its number, where they say where
    one begins. Texts are in NFC; half of a surrogate pair,
    which JSON may hold and no file, is U+FFFD.

    A file of text is in UTF-8, or surely in UTF-16 or GB18030, see `sure_encoding`; a pipe and
    standard input, which are read once, are in UTF-8.

    Args:
        path: a name that ends in .gz is unpacked on the way.
        names: what the user calls the columns, see `pick`.
        with_gold: rows say what is right. Where they do not, blank lines of text and of tables stay
            as empty rows, and tagged words need no tags.

    Raises:
        DataError: there is no such file, its format is unknown, or a line of it is broken.
    """
    headless = any(value.isdecimal() for value in (names or {}).values())
    is_stdin = str(path) == STDIN
    kind = _kind(path)
    try:
        if is_stdin:
            rows = _lines_of_either(_stdin())
            yield from flat(rows, where=place_of(path), keep_blank=not with_gold)
        elif kind == ".parquet":
            yield from _parquet(path)
        else:
            with _opened(path) as file:
                rows = _rows_of(file, kind, path, headless=headless, with_gold=with_gold)
                rows = flat(rows, where=place_of(path), keep_blank=not with_gold)
                yield from (_normal(row) for row in rows)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", remedy="check its name") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder", remedy="name a file in it") from error
    except UnicodeDecodeError as error:
        remedy = f"save it as UTF-8 (Excel: CSV UTF-8), or convert it: {_conversion(path)}"
        raise DataError(f"{place_of(path)} is not UTF-8 text", remedy=remedy) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file", remedy="fetch it again") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error


def place_of(path: Path) -> str:
    """What a file is called in messages."""
    return "standard input" if str(path) == STDIN else str(path)


def is_plain_text(path: Path) -> bool:
    """Whether a file is read as a text a line, by its name: it has no columns then."""
    return _kind(path) in ("", *_TEXT_A_LINE)


def encoding_note(path: Path) -> str | None:
    """A sentence for people where `iter_rows` reads a file in another encoding than UTF-8."""
    encoding = _encoding(path)
    if encoding == UTF8:
        return None
    return f"{printable(str(path))} is not UTF-8: it is read as {encoding.name.upper()}"


def _kind(path: Path) -> str:
    """The suffix that says a file's format, in small letters, that of packing left out."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join((suffixes[:-1] if _is_packed(path) else suffixes)[-1:])


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _stdin() -> TextIO:
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("standard input is closed", remedy="name a file, or pipe rows in")
    return sys.stdin


def pick(
    rows: Sequence[Row],
    column: Column,
    names: Mapping[str, str],
    *,
    where: str,
    option: str = "--columns ",
) -> list[Any]:
    """The values of a column, one a row.

    Args:
        rows: not empty.
        column: what is wanted.
        names: from the task's names to the file's, as the user gave them.
        where: the file, for messages.
        option: what a column's name is said behind, for messages.

    Raises:
        DataError: no column has the user's name or a usual one, or a row lacks a value.
    """
    found = find(rows, column, names)
    if found is None:
        given = names.get(column.name)
        there = [str(name) for name in rows[0]]
        if len(there) == 1 and (remedy := other_separator(there[0], where)):
            raise DataError(f"{where} has one column", got=there[0], remedy=remedy)
        wanted = given if given is not None else " or ".join(column.known)
        raise DataError(
            f"{where} has no column for {column.what}: {wanted}",
            got=", ".join(there) or "no columns",
            remedy=did_you_mean(given, there)
            if given is not None
            else f'give JSON lines, as {{"{column.name}": …}}, or a table with its names'
            if where == place_of(Path(STDIN))
            else _TABLES
            if there == ["text"] and is_plain_text(Path(where))
            else f"say which one it is: {option}{column.name}=NAME, or its number, as "
            f"{column.name}=1, where the first line holds no names",
        )
    values = [row.get(found) for row in rows]
    for number, value in enumerate(values, 1):
        if is_missing(value) and not column.may_be_empty:
            raise DataError(
                f"row {number} of {where} has no {found}", remedy="fill it in or take the row out"
            )
    return values


def is_missing(value: Any) -> bool:
    """Whether a cell says nothing: empty or blank, null, or not a number where one should be."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value)


def cell_text(given: Any) -> str:
    """A cell as the text it is.

    Raises:
        DataError: it holds several, or parts with names, or is null.
    """
    if given is None:
        raise DataError("a text is null", remedy="write what it is, or take it out")
    if isinstance(given, list | dict):
        raise DataError(
            "one text is wanted in a cell",
            got=given,
            remedy="write it as one text, or name another column with --columns",
        )
    return str(given)


def label_text(given: Any) -> str:
    """A label as text: 1.0 as "1", since files that miss a cell make whole numbers broken ones.

    Raises:
        DataError: it is several, has parts with names, or is the text of a list.
    """
    if isinstance(given, str):
        check_no_list(given)
    if isinstance(given, list | dict):
        raise DataError(
            "one label is wanted in a cell",
            got=given,
            remedy="write it as a text or a number, or name another column with --columns",
        )
    if isinstance(given, float) and given.is_integer():
        return str(int(given))
    return str(given).strip()


def check_no_list(text: str) -> None:
    """Raises DataError where a text is what a program wrote of a list, as pandas does into tables:
    parted at its spaces, brackets and marks would be learned."""
    if _LIST.fullmatch(text.strip()):
        raise DataError(
            "a list is written as a text",
            got=text.strip()[:80],
            remedy="write JSON lines, which have lists, or one text with a mark between its parts",
        )


def one_writing(labels: Iterable[str]) -> dict[str, str]:
    """Of labels that are all whole numbers, and written both as 1 and as 1.0, the latter, and how
    they are written else: a program that met an empty cell wrote a column so. "01" is not 1."""
    seen = set(labels)
    if not all(map(_WHOLE.fullmatch, seen)):
        return {}
    broken = {label: label.partition(".")[0] for label in seen if "." in label}
    return broken if len(broken) < len(seen) else {}


def find(rows: Sequence[Row], column: Column, names: Mapping[str, str]) -> str | None:
    """Which column of the file it is; None where there is none."""
    given = names.get(column.name)
    candidates = (given,) if given is not None else column.known
    there = {str(name).strip().casefold(): name for name in rows[0]}
    for name in candidates:
        if name in rows[0]:
            return name
        if name.casefold() in there:
            return there[name.casefold()]
    return None


def parse_columns(text: str | None, columns: Sequence[Column]) -> dict[str, str]:
    """What `text=review,label=stars` says.

    Raises:
        DataError: it is no such list, or names something the task has not.
    """
    names: dict[str, str] = {}
    known = [column.name for column in columns]
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not value:
            raise DataError(
                "columns are written as NAME=COLUMN", got=part, remedy=f"as in {known[0]}=review"
            )
        if name not in known:
            raise DataError(f"the task has no column '{name}'", remedy=did_you_mean(name, known))
        names[name] = value
    return names


def _opened(path: Path) -> TextIO:
    codec = _encoding(path).codec
    return io.TextIOWrapper(_opened_bytes(path), encoding=codec, newline="")


def _opened_bytes(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if _is_packed(path) else open(path, "rb"))


def _encoding(path: Path) -> Encoding:
    """In which encoding a file is read; a pipe has nothing left for who reads it again."""
    if str(path) == STDIN or _kind(path) == ".parquet" or not path.is_file():
        return UTF8
    with _opened_bytes(path) as stream:
        return sure_encoding(stream)


def _conversion(path: Path) -> str:
    """A line that makes UTF-8 of a file that is not, from what it most likely is."""
    if str(path) == STDIN or not path.is_file():
        return "iconv -f GB18030 -t UTF-8"
    with _opened_bytes(path) as stream:
        found = detect_encoding(read_sample(stream))
    likely = "GB18030" if found is None else _ICONV.get(found.codec, "GB18030")
    file, new = typed(path), f"new{_kind(path)}"
    if _is_packed(path):
        return f"gunzip -c {file} | iconv -f {likely} -t UTF-8 > {new}"
    return f"iconv -f {likely} -t UTF-8 {file} > {new}"


def _rows_of(
    file: TextIO, kind: str, path: Path, *, headless: bool, with_gold: bool
) -> Iterator[Row]:
    if kind in (".csv", ".tsv"):
        delimiter = "\t" if kind == ".tsv" else ","
        yield from table_rows(file, path, delimiter, headless=headless, keep_blank=not with_gold)
    elif kind in (".jsonl", ".ndjson"):
        yield from _json_lines(file, str(path))
    elif kind == ".json":
        yield from _json(file, path)
    elif kind in _WORDS_A_LINE:
        yield from _sentences(file, path, kind, with_gold)
    elif kind in ("", *_TEXT_A_LINE):
        for line in file:
            # What is only answered keeps its blank lines, so that answers stand beside them.
            if line.strip() or not with_gold:
                yield {"text": line.strip("\r\n")}
    else:
        raise DataError(
            f"{path} has a format that is not read", got=kind, remedy=f"use one of {_FORMATS}"
        )


def _json_lines(file: TextIO, where: str) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        yield _json_row(line, f"line {number} of {where}")


def _json_row(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON", remedy="mend that line") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object", got=row, remedy='write {"text": …}')
    return row


def _json(file: TextIO, path: Path) -> Iterator[Row]:
    try:
        data = json.load(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", remedy="mend it") from error
    rows = data.get("data") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} is not a list of JSON objects", remedy="use JSON lines")
    # Where one is an article of passages all are, also those that nothing is asked of.
    yield from [{"data": rows}] if any(map(is_nested, rows)) else rows


def _sentences(file: TextIO, path: Path, kind: str, with_gold: bool) -> Iterator[Row]:
    lines: list[list[str]] = []
    ends: list[tuple[int, str, int]] = []  # lines with nothing in their last cells
    num_documents = 0
    for number, line in enumerate(chain(file, [""]), 1):
        text = line.rstrip("\r\n")
        begins = text.startswith(_NEW_DOCUMENT)
        if begins:
            text = ""
        is_remark = text.startswith("#") if kind == ".conllu" else not lines and _is_remark(text)
        if text.strip() and not is_remark:
            least = 4 if kind == ".conllu" else 2 if with_gold else 1
            cells = _cells(text, least)
            if len(cells) < least:
                raise DataError(
                    f"line {number} of {path} has no tag",
                    got=text,
                    remedy="write the ten columns of CoNLL-U" if least > 2 else "write WORD TAG",
                )
            if not (kind == ".conllu" and not cells[0].isdecimal()):
                lines.append(cells)
                if text.count("\t") >= len(cells):
                    ends.append((number, text, len(cells)))
        elif not text.strip() and lines:
            most = max(map(len, lines))
            for place, got, num_cells in ends if with_gold and kind != ".conllu" else ():
                if num_cells < most:  # what stands before the empty cell is another column
                    raise DataError(
                        f"line {place} of {path} has no tag",
                        got=got,
                        remedy=f"write its last column, as in the lines with {most} columns",
                    )
            own = {"document": str(num_documents)} if num_documents else {}
            yield {**_sentence(lines, kind), **own}
            lines, ends = [], []
        num_documents += begins or bool(is_remark and _DOCUMENT.match(text))


def _is_remark(text: str) -> bool:
    """Whether it says something of the sentence that begins behind it, and is no tagged "#"."""
    return bool(_REMARK.match(text))


def _cells(text: str, least: int) -> list[str]:
    """Parted by tabs, else by blanks, and by any spaces where these are too few. Nothing at the end
    of a line is no cell."""
    text = text.rstrip("\t ")
    cells = text.split("\t") if "\t" in text else _BLANKS.split(text.strip(" "))
    return cells if len(cells) >= least or "\t" in text else text.split()


def _sentence(lines: list[list[str]], kind: str) -> Row:
    if kind == ".conllu":
        upos = [cells[3] for cells in lines]
        return {
            "tokens": [cells[1] for cells in lines],
            "tags": upos,
            "upos": upos,
            "xpos": [cells[4] if len(cells) > 4 else "_" for cells in lines],
        }
    return {"tokens": [cells[0] for cells in lines], "tags": [cells[-1] for cells in lines]}


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    parquet: Any = pyarrow.parquet
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from map(_normal, batch.to_pylist())
    except ArrowException as error:
        raise DataError(f"{path} is not a Parquet file: {error}", remedy="mend it") from error


def _lines_of_either(file: TextIO) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.lstrip().startswith("{"):
            yield _normal(_json_row(text, f"line {number} of standard input"))
        else:
            yield _normal({"text": text.strip("\r\n")})


def _normal(row: Row) -> Row:
    return {name: _normal_value(value) for name, value in row.items()}


def _normal_value(value: Any) -> Any:
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, dict):
        return {name: _normal_value(part) for name, part in value.items()}
    return [_normal_value(part) for part in value] if isinstance(value, list) else value
