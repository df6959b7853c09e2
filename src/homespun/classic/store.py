"""Classic models on disk: a folder with `classic.json` and, for arrays, `weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from homespun.core import CheckpointError, ConfigError
from homespun.core.files import atomic_path, os_error

Arrays = dict[str, NDArray[Any]]
Check = Callable[[dict[str, Any], Arrays], bool]
ModelT = TypeVar("ModelT")
_VERSION = 1
_WRONG = (
    FileNotFoundError,
    NotADirectoryError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    SafetensorError,
)
"""What damaged files end in."""
_NO_JSON = (json.JSONDecodeError, UnicodeDecodeError, RecursionError)
"""What they end in as they are read; lists within lists without end are a RecursionError."""


def save_parts(folder: Path, kind: str, record: dict[str, Any], arrays: Arrays) -> None:
    """Write a model. Raises RunError or BudgetError where the folder cannot be written.

    Args:
        folder: made where there is none.
        kind: which model it is.
        record: what JSON can hold.
        arrays: numbers; none, and there is no second file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(error, f"making {folder}") from error
    if arrays:
        with atomic_path(folder / "weights.safetensors") as path:
            save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
    whole = {"kind": kind, "version": _VERSION, **record}
    try:
        text = json.dumps(whole, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair is no text, but can be a word
        text = json.dumps(whole).encode("utf-8")
    with atomic_path(folder / "classic.json") as path:
        path.write_bytes(text + b"\n")


def load_parts(
    folder: Path, kind: str, check: Check, make: Callable[[dict[str, Any], Arrays], ModelT]
) -> ModelT:
    """The model that `save_parts` wrote, once `check` says that it is whole.

    Args:
        folder, kind: as in `save_parts`.
        check: whether record and arrays fit together.
        make: the model of them. Settings it refuses, and values of another sort than it can take,
            are a damaged file like what `check` finds.

    Raises:
        CheckpointError: it is absent, damaged, or another kind of model. RunError: it cannot be
            read now.
    """
    try:
        record = json.loads((folder / "classic.json").read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise _damaged(folder, kind, "classic.json is not a JSON object")
        found = record.get("kind"), record.get("version")
        weights = folder / "weights.safetensors"
        arrays: Arrays = load_file(weights) if weights.exists() else {}
        if found == (kind, _VERSION):
            if check(record, arrays):
                return make(record, arrays)
            why = "parts that do not fit together"
        else:
            why = f"kind and version {found}"
    except _NO_JSON as error:
        raise _damaged(folder, kind, f"classic.json is not JSON: {error}") from error
    except KeyError as error:
        raise _damaged(folder, kind, f"nothing under {error}") from error
    except ConfigError as error:  # its remedy is for a person who wrote that setting
        raise _damaged(folder, kind, error.what) from error
    except _WRONG as error:
        raise _damaged(folder, kind, str(error)) from error
    except OSError as error:  # what cannot be read now may be whole
        raise os_error(error, f"reading {folder}") from error
    raise _damaged(folder, kind, why)


def are_names(value: object) -> bool:
    """Whether it is a list of different texts, as tags and vocabularies are."""
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )


def _damaged(folder: Path, kind: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} holds no whole {kind} of this version",
        got=why,
        remedy="learn or make it again, or give the folder it was saved in",
    )
