"""Memory that decode.c reads and writes."""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.inference.native.layout import Matrix
from homespun.inference.native.pack import WEIGHT_KINDS, Packed

_CHUNK = 64 << 20
_HUGE = 2 << 20
_LINE = 64


class Memory:
    """Keeps alive what structs point to.

    Weights, and what is large, lie in huge pages where the system has them: a step reads all
    weights one after another, and with pages of 4 kB a virtual machine spends a third of that time
    looking pages up.
    """

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._chunk: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)

    def matrix(self, packed: Packed) -> Matrix:
        return Matrix(
            packed.rows,
            packed.cols,
            WEIGHT_KINDS.index(packed.kind),
            self._copied(packed.data),
            self._copied(packed.scales) if len(packed.scales) else None,
        )

    def floats(self, tensor: Tensor | None) -> int | None:
        """A pointer to `tensor` in float32, its own memory where it is so already."""
        if tensor is None:
            return None
        own = tensor.detach().to("cpu", torch.float32).contiguous()
        self._kept.append(own)
        return own.data_ptr()

    def whole(self, tensor: Tensor) -> int:
        """A pointer to whole numbers, which stay as they are."""
        own = tensor.contiguous()
        self._kept.append(own)
        return own.data_ptr()

    def zeros(self, *shape: int, dtype: Any = np.float32) -> int:
        """A pointer to new memory of zeros, which takes up none before it is written."""
        size = max(1, int(np.prod(shape))) * np.dtype(dtype).itemsize
        array = _huge(size) if size >= _HUGE else np.zeros(size, dtype=np.uint8)
        self._kept.append(array)
        return int(array.ctypes.data)

    def _copied(self, tensor: Tensor) -> int:
        """A pointer to a copy of it, behind the one before."""
        data = tensor.contiguous().view(torch.uint8).numpy()
        size = -(-len(data) // _LINE) * _LINE
        if size > len(self._chunk):
            self._chunk = _huge(max(size, _CHUNK))
            self._kept.append(self._chunk)
        own, self._chunk = self._chunk[: len(data)], self._chunk[size:]
        own[:] = data
        return int(own.ctypes.data)


def _huge(size: int) -> NDArray[np.uint8]:
    """New zeros, in huge pages where the system can."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(size, dtype=np.uint8)
    # Such pages begin at multiples of their size.
    pages = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system may know of them and have none
        pages.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(pages, dtype=np.uint8)
    start = -int(array.ctypes.data) % _HUGE
    return array[start : start + size]
