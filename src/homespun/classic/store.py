"""Classic models on disk: a folder with `classic.json` and, for arrays, `weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from homespun.core import CheckpointError
from homespun.core.files import atomic_path, os_error

Arrays = dict[str, NDArray[Any]]
Check = Callable[[dict[str, Any], Arrays], bool]
_VERSION = 1


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
    with atomic_path(folder / "classic.json") as path:
        path.write_text(json.dumps(whole, ensure_ascii=False) + "\n", encoding="utf-8")


def load_parts(folder: Path, kind: str, check: Check) -> tuple[dict[str, Any], Arrays]:
    """What `save_parts` wrote, once `check` says that it is whole.

    Raises:
        CheckpointError: it is absent, damaged, or another kind of model.
    """
    try:
        record = json.loads((folder / "classic.json").read_text(encoding="utf-8"))
        found = record.get("kind"), record.get("version")
        weights = folder / "weights.safetensors"
        arrays: Arrays = load_file(weights) if weights.exists() else {}
        whole = found == (kind, _VERSION) and check(record, arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(folder, kind, str(error)) from error
    except SafetensorError as error:
        raise _damaged(folder, kind, str(error)) from error
    if not whole:
        raise _damaged(folder, kind, f"kind and version {found}")
    return record, arrays


def _damaged(folder: Path, kind: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} holds no whole {kind} of this version",
        got=why,
        remedy="save it again, or give the folder it was saved in",
    )
