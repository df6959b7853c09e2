"""Tables of text: cells between commas or tabs, in quotation marks or not."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from homespun.core import DataError

_MOST_CELL = 1 << 24
"""Characters of a cell."""
_IN_MARKS = re.compile(r'(?:^|\t)"((?:[^"]++|"")*+)"(?=[\t\r\n]|$)')
"""A cell between tabs that is in quotation marks, and what is in them."""


def table_rows(
    file: TextIO, path: Path, delimiter: str, *, headless: bool, keep_blank: bool
) -> Iterator[Mapping[str, str]]:
    """The rows of a table, by the names in its first line.

    Args:
        file: what is read; between tabs twice, where it can be.
        path: of the file, for messages.
        delimiter: a tab or a comma.
        headless: the first line is a row; columns are "1", "2", … then.
        keep_blank: a blank line is a row of empty cells.

    Raises:
        DataError: a row has another number of cells than the first line, a cell in marks does not
            end, or names are missing or there twice.
    """
    csv.field_size_limit(_MOST_CELL)
    if delimiter == "\t" and not _marks_cells(file):
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    places: list[int] = []  # of the columns that are read
    left_out: list[int] = []
    num_cells = num_blank = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                num_blank += 1
                continue
            if names is None:
                num_blank = num_blank if headless else 0  # those before the names are no rows
                num_cells = len(cells)
                left_out = [] if headless else _nameless(cells)
                places = [place for place in range(num_cells) if place not in left_out]
                if headless:
                    names = [str(place + 1) for place in places]
                else:
                    names = _once([cells[place] for place in places], path)
                    continue
            if keep_blank:
                yield from ([dict.fromkeys(names, "")] * num_blank)
            num_blank = 0
            if len(cells) != num_cells:
                other = other_separator(names[0], str(path)) if num_cells == 1 else ""
                raise DataError(
                    f"line {reader.line_num} of {path} has {len(cells)} columns in place of "
                    f"{num_cells}",
                    remedy=other or "quote texts that hold the separator, or use JSON lines",
                )
            full = next((place for place in left_out if cells[place].strip()), None)
            if full is not None:
                raise DataError(
                    f"column {full + 1} of {path} has no name, and line {reader.line_num} has "
                    "something in it",
                    got=cells[full],
                    remedy="give it a name in the first line, or put it where it belongs",
                )
            yield {name: cells[place] for name, place in zip(names, places, strict=True)}
        if keep_blank and names is not None:
            yield from ([dict.fromkeys(names, "")] * num_blank)
    except csv.Error as error:
        remedy = "mend it"
        if "end of data" in str(error):
            remedy = (
                'close the quotation mark that was opened before, or write "" for one in a text'
            )
        raise DataError(f"line {reader.line_num} of {path}: {error}", remedy=remedy) from error


def other_separator(names: str, where: str) -> str:
    """What to do where a table's line of names is parted by something else than its ending says;
    "" where it is not."""
    if ";" in names:
        return "save it with commas in place of semicolons, or as JSON lines"
    if "\t" in names:
        return "there are tabs between its names: let its own name end in .tsv"
    if "," in names and ".tsv" in where.lower():
        return "there are commas between its names: let its own name end in .csv"
    return ""


def _marks_cells(file: TextIO) -> bool:
    """Whether a table between tabs has quotation marks around cells, as pandas and spreadsheets
    write them: all of it can be read so, into rows of one length, and it must be, since the names
    are in marks, a cell in marks has doubled ones inside, or lines alone are no rows. Else a mark
    is text: one at the beginning of a cell would take in all rows up to the next."""
    if not file.seekable():
        return False
    held: list[str] = []
    num_tabs: set[int] = set()
    num_cells: set[int] = set()
    is_marked = False

    def lines() -> Iterator[str]:
        for line in file:
            held.append(line)
            if line.strip():
                num_tabs.add(line.count("\t"))
            yield line

    try:
        for cells in csv.reader(lines(), delimiter="\t", strict=True):
            row = "".join(held)
            held.clear()
            if any(cell.strip() for cell in cells):
                within = _IN_MARKS.findall(row)
                is_marked |= not num_cells and len(within) == len(cells)
                is_marked |= any('""' in cell for cell in within)
                num_cells.add(len(cells))
            if len(num_cells) > 1:
                return False
    except csv.Error:
        return False
    finally:
        file.seek(0)
    return is_marked or len(num_tabs) > 1


def _nameless(names: Sequence[str]) -> list[int]:
    """Places of the columns that must hold nothing: those without a name, where there are several.
    One may have something in it, as the numbers that some programs put before each row; of several
    that is the first column."""
    nameless = [place for place, name in enumerate(names) if not name.strip()]
    return [place for place in nameless if place > 0] if len(nameless) > 1 else []


def _once(names: list[str], path: Path) -> list[str]:
    """Names of columns. Raises DataError where one is there twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns of one name", got=twice, remedy="rename one")
    return names
