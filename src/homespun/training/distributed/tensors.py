"""Whole tensors of a spread model, gathered one at a time, and files written the same way.

So the leader never holds more than one whole tensor, however large the model, and what lies on
disk is the same as what a single process writes: any number of processes can go on from it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file as save_whole
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Gathered(Mapping[str, Tensor]):
    """Tensors that come into being when they are read, which all processes must do in the order of
    iteration, each tensor once.

    Args:
        shapes, dtypes: by name.
        gather: the whole tensor of a name; takes part in a collective operation.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, torch.dtype],
        gather: Callable[[str], Tensor],
    ) -> None:
        self.shapes, self.dtypes = shapes, dtypes
        self._gather = gather
        # safetensors stores the widest numbers first, then by name.
        self._names = sorted(shapes, key=lambda name: (-dtypes[name].itemsize, name))
        self._num_read = 0

    def __getitem__(self, name: str) -> Tensor:
        assert name == self._names[self._num_read], f"{name} is read out of turn"
        self._num_read += 1
        return self._gather(name).detach()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def joined(self, other: Gathered, *, prefix: str) -> Gathered:
        """These and, with `prefix` before their names, the others; none may have been read yet."""
        theirs = {f"{prefix}{name}": name for name in other.shapes}
        return Gathered(
            {**self.shapes, **{name: other.shapes[own] for name, own in theirs.items()}},
            {**self.dtypes, **{name: other.dtypes[own] for name, own in theirs.items()}},
            lambda name: other._gather(theirs[name]) if name in theirs else self._gather(name),
        )

    def drain(self) -> None:
        """Read what is not read yet, and keep nothing: others are waiting for it."""
        while self._num_read < len(self._names):
            self[self._names[self._num_read]]


def drain(tensors: Mapping[str, Tensor]) -> None:
    """`tensors.drain()` where it has to be gathered at all."""
    if isinstance(tensors, Gathered):
        tensors.drain()


def save_file(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, byte by byte as the library does; `Gathered` ones one at a time.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    if not isinstance(tensors, Gathered):
        save_whole(dict(tensors), path)
        return
    header: dict[str, object] = {}
    start = 0
    for name in tensors:
        shape, dtype = tensors.shapes[name], tensors.dtypes[name]
        stop = start + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in tensors:
            tensor = tensors[name].to("cpu", tensors.dtypes[name]).contiguous()
            assert tuple(tensor.shape) == tensors.shapes[name]
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
