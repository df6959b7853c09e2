"""Several arrays that read as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class TokenView:
    """Read-only concatenation of one-dimensional arrays of one dtype, without copying them.

    Slices and index arrays give ordinary arrays with a copy of the ids asked for.

    Args:
        parts: the arrays, in order.
    """

    def __init__(self, parts: Sequence[NDArray[np.integer[Any]]]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in self._parts])
        self.dtype = self._parts[0].dtype
        self.ndim = 1

    @property
    def size(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int]:
        return (self.size,)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> np.integer[Any]: ...
    @overload
    def __getitem__(self, key: slice | NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]: ...

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._slice(*key.indices(len(self)))
        if isinstance(key, np.ndarray):
            return self._take(key)
        index = int(key)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"index {int(key)} is out of range for {len(self)} tokens")
        part = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[part]) - len(self._parts[part])
        return self._parts[part][index - start]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("several files cannot become one array without a copy")
        whole = self._slice(0, len(self), 1)
        return whole if dtype is None else whole.astype(dtype)

    def _slice(self, start: int, stop: int, step: int) -> NDArray[np.integer[Any]]:
        if step != 1:
            return self._take(np.arange(start, stop, step))
        pieces: list[NDArray[np.integer[Any]]] = []
        for end, part in zip(self._ends.tolist(), self._parts, strict=True):
            begin = end - len(part)
            if start < end and stop > begin:
                pieces.append(part[max(0, start - begin) : stop - begin])
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)

    def _take(self, indices: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        flat = np.where(indices < 0, indices + len(self), indices).ravel()
        if len(flat) and (flat.min() < 0 or flat.max() >= len(self)):
            raise IndexError(f"an index is out of range for {len(self)} tokens")
        out = np.empty(len(flat), self.dtype)
        which = np.searchsorted(self._ends, flat, side="right")
        for number, part in enumerate(self._parts):
            chosen = which == number
            if chosen.any():
                out[chosen] = part[flat[chosen] - (int(self._ends[number]) - len(part))]
        return out.reshape(indices.shape)
