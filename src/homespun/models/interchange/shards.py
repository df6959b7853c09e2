"""The weights in a folder from elsewhere, checked before anything is believed.

Only safetensors is read: a pickle can run any code when it is opened. Names in an index must be
those of files in the folder itself. What a header claims must fit the file it stands in, before
memory for it is asked for.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from homespun.core import DataError
from homespun.core.files import os_error, read_json

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
LONGEST_HEADER = 100_000_000  # bytes; as in the safetensors library
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_AGAIN = "fetch or export the model again"


def shard_files(folder: Path) -> list[Path]:
    """The safetensors files of the model in `folder`. Where there are a whole file and shards, it
    is the whole one, as `transformers` has it.

    Raises:
        DataError: there are none, or the index names what is not a file of the folder.
    """
    index, path = folder / INDEX, folder / WHOLE
    if path.is_file():
        return [path]
    if not index.is_file():
        pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES)
        if pickles:
            raise DataError(
                f"{folder} has its weights in a pickle, which can run any code when it is opened",
                got=pickles[0],
                remedy="convert it to safetensors where you trust it, or take another version",
            )
        raise DataError(f"{path} is missing", remedy=_AGAIN)
    value = read_json(index)
    names = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(names, dict) or not names:
        raise DataError(f"{index} has no weight_map", remedy=_AGAIN)
    return [folder / name for name in sorted({checked_name(n, index) for n in names.values()})]


def checked_name(name: object, where: Path) -> str:
    """The name of a safetensors file that stands beside `where`.

    Raises:
        DataError: it is a path, or of another kind of file.
    """
    is_plain = isinstance(name, str) and not set(name) & set("/\\\0:") and name[:1] not in ("", ".")
    if not is_plain or not str(name).endswith(".safetensors"):
        raise DataError(
            f"{where} names a file that is not a safetensors file in its own folder",
            got=name,
            remedy="do not use this model: it may try to reach other files",
        )
    return str(name)


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a file, by name, from its header alone.

    Raises:
        DataError: the file is missing, or its header is not true of it.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise _untrue(path, f"it claims a header of {length:,} bytes")
            header = json.loads(handle.read(length))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise _untrue(path, "its header is not JSON") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
    if not isinstance(header, dict):
        raise _untrue(path, "its header is not an object")
    room = size - 8 - length
    shapes = {n: _shape(path, n, t, room) for n, t in header.items() if n != "__metadata__"}
    if sum(_span(header[name]) for name in shapes) != room:
        raise _untrue(path, "its tensors do not fill it")
    return shapes


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors in `folder` by name. Check them with `read_header` first."""
    tensors: dict[str, Tensor] = {}
    for path in shard_files(folder):
        try:
            tensors |= load_file(os.fspath(path))
        except SafetensorError as error:
            raise _untrue(path, str(error)) from error
        except OSError as error:
            raise os_error(error, f"reading {path}") from error
    return tensors


def _shape(path: Path, name: str, told: Any, room: int) -> tuple[int, ...]:
    try:
        kind, shape, (begin, end) = told["dtype"], told["shape"], told["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError) as error:
        raise _untrue(path, f"its entry '{name}' is not of the expected form") from error
    if any(type(number) is not int or number < 0 for number in numbers):
        raise _untrue(path, f"'{name}' has numbers that cannot be")
    if kind not in _BYTES:
        raise DataError(
            f"'{name}' in {path} has numbers of a kind that is not read",
            got=kind,
            remedy="take a version in float32, float16 or bfloat16",
        )
    if end > room or end - begin != math.prod(shape) * _BYTES[kind]:
        raise _untrue(path, f"'{name}' of shape {tuple(shape)} does not fit where it should be")
    return tuple(shape)


def _span(told: Mapping[str, Any]) -> int:
    begin, end = told["data_offsets"]
    return int(end - begin)


def _untrue(path: Path, why: str) -> DataError:
    return DataError(f"{path} is not a whole safetensors file: {why}", remedy=_AGAIN)


def renamed_weights(
    empty: Callable[[], nn.Module],
    held: Mapping[str, Tensor],
    their_name: Callable[[str], str],
    folder: Path,
) -> dict[str, Tensor]:
    """Weights of a folder, in float32, under our names.

    Args:
        empty: makes a model of ours; none of its memory is taken.
        held: what the folder holds.
        their_name: of one of our parameters.
        folder: for messages.

    Raises:
        DataError: one is missing.
    """
    with torch.device("meta"):
        names = [name for name, _ in empty().named_parameters()]
    for theirs in map(their_name, names):
        if theirs not in held:
            raise DataError(f"{folder} has no {theirs}", remedy="fetch the model again")
    return {name: held[their_name(name)].float() for name in names}
