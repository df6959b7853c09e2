"""In how many parts the next start of a stage is to learn from its rows, as parts.json says.

Where weights are sharded, a process that is short of memory cannot begin a step again: its
neighbours wait inside of the model. So it leaves word before it stops them all, and whoever goes on
with the stage takes as many parts from its first step on, which are the same steps.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from homespun.core import Config, parse_config
from homespun.core.files import read_json, write_json

FORMAT = 1


class AskedParts(Config):
    """What parts.json holds."""

    format: int = FORMAT
    parts: int = Field(ge=1)


def ask_for_parts(stage_dir: Path, parts: int) -> None:
    """Leave word. Raises BudgetError or RunError where it cannot be written."""
    write_json(stage_dir / "parts.json", AskedParts(parts=parts).model_dump())


def asked_parts(stage_dir: Path) -> int:
    """1 where nobody asked for more. Raises DataError or ConfigError for a damaged file."""
    path = stage_dir / "parts.json"
    if not path.is_file():
        return 1
    return parse_config(AskedParts, read_json(path), where=str(path)).parts
