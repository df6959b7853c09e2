"""Tables and their rows on disk, so that a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.core import DataError
from homespun.core.files import append_row, read_jsonl, read_object

ROWS_FILE = "families.jsonl"


class KeptRows:
    """A line of a file for each family that came to its end.

    Args:
        folder: that holds it.
        asked: what must be equal for a row to be used again: text, seconds, seed and the like.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self._path, self._asked = folder / ROWS_FILE, dict(asked)

    def find(self, name: str) -> dict[str, Any] | None:
        """The last row of a family that was asked for the same; None for none.

        Raises:
            DataError: a line is no row.
        """
        found = None
        if self._path.is_file():
            for line in read_jsonl(self._path):
                is_row = isinstance(line, dict) and isinstance(line.get("row"), dict)
                if not is_row or "asked" not in line:
                    raise DataError(
                        f"{self._path} holds a line that is no row of this table",
                        got=str(line)[:80],
                        remedy="take the file away: the families are measured again",
                    )
                if line["asked"] == self._asked and line["row"].get("name") == name:
                    found = dict(line["row"])
        return found

    def add(self, row: Mapping[str, Any]) -> None:
        """On disk when this returns."""
        append_row(self._path, {"asked": self._asked, "row": dict(row)})


def read_families(path: Path) -> dict[str, Any]:
    """A table that `bench families --json` wrote. Raises DataError where it is none."""
    remedy = "give what `homespun bench families --json FILE` wrote"
    found = read_object(path, remedy=remedy)
    if found.get("benchmark") != "families":
        raise DataError(f"{path} is no table of families", remedy=remedy)
    return found
