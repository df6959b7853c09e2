"""What a folder of a learned task says of itself, and the files it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from homespun.core import Config, DataError, RunError, parse_config
from homespun.core.files import os_error, read_json, write_json
from homespun.core.runs import is_taken

RECORD_FILE, RESULTS_FILE = "application.json", "results.json"
CLOCK_FILE, LEARNED_FILE = "clock.json", "learned.json"
PREDICTIONS_FILE, CARD_FILE = "predictions.jsonl", "README.md"
FORMAT = 1


class ApplicationRecord(Config):
    """`application.json`: what was asked. A folder that was begun with something else is refused.

    Attributes:
        format: of the folder.
        task, method: what was learned, and how.
        data, test: paths as given, and the hash of each file; of a name that is not UTF-8 what is
            not is written as \\xNN.
        columns: the user's names of columns.
        base: folder of the model it began with.
        seconds: how long learning might take.
        seed: of every draw.
        options: of the method.
        also: tasks and files that were learned together with it.
        several: mark that parts what is right in a cell.
        group: column whose values are kept on one side of the split.
        by_class: rows were divided so that every class has its share of each part.
        versions: of the packages that matter.
    """

    format: int = FORMAT
    task: str
    method: str
    data: str
    data_sha256: str
    test: str | None = None
    test_sha256: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    base: str | None = None
    seconds: float | None = None
    seed: int = 0
    options: dict[str, str] = Field(default_factory=dict)
    also: list[str] = Field(default_factory=list)
    several: str | None = None
    group: str | None = None
    by_class: bool = False
    versions: dict[str, str] = Field(default_factory=dict)


def model_folder(folder: Path) -> Path:
    """Where the method's own files lie."""
    return folder / "model"


def read_record(folder: Path) -> ApplicationRecord:
    """Raises DataError where `folder` holds no learned task, ConfigError where it is damaged."""
    path = folder / RECORD_FILE
    if not path.is_file():
        raise DataError(
            f"there is no learned task in {folder}",
            remedy="learn one with `homespun finetune TASK FILE --out FOLDER`",
        )
    data: dict[str, Any] = read_json(path)
    if not isinstance(data, dict):
        raise DataError(f"{path} is not a JSON object", remedy="learn the task again")
    return parse_config(ApplicationRecord, data, where=str(path))


def check_folder(folder: Path) -> None:
    """Raises RunError where `folder` holds something else than a task. Looks only: a lock is not to
    be put into what is somebody else's."""
    try:
        taken = is_taken(folder, RECORD_FILE)
    except OSError as error:
        raise os_error(error, f"looking into {folder}") from error
    if taken:
        raise RunError(
            f"{folder} is not empty and holds no learned task", remedy="name a new folder"
        )


def begin(folder: Path, record: ApplicationRecord) -> None:
    """Write the record, or check that the one there says the same; versions may differ. Whoever
    calls this holds the folder: of two commands one would write over what the other asked.

    Raises:
        RunError: the folder holds something else.
    """
    check_folder(folder)
    path = folder / RECORD_FILE
    if path.is_file():
        before, now = read_record(folder).model_dump(), record.model_dump()
        for name in now:
            if name != "versions" and before[name] != now[name]:
                if name.endswith("_sha256"):
                    raise RunError(
                        f"{now[name.removesuffix('_sha256')]} has changed since {folder} was begun",
                        remedy="name another folder with --out, or delete that one",
                    )
                raise RunError(
                    f"{folder} was begun with {name} = {before[name]!r}",
                    got=repr(now[name]),
                    remedy="name another folder with --out, or delete that one",
                )
        return
    write_json(path, record.model_dump(mode="json"))
