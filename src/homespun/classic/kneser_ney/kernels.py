"""The four loops of the n-gram model: in numpy, and compiled where there is a C compiler.

M records, W words of 64 bits a record, N n-grams, T tokens. A record is W uint64, the first the
most significant. `NumpyKernels` is the slow version; `NativeKernels` gives the same integers, and
the same scores but for the last bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError
from homespun.core.compile import CompileError, Source, load_compiled

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]
Ids = NDArray[np.int32]
KernelName = Literal["auto", "numpy", "native"]

_FLAGS = ("-O3", "-march=native", "-std=c11", "-fno-math-errno")


class Level(NamedTuple):
    """The n-grams of one order, sorted by their first tokens and then by their last.

    Attributes:
        words: last token of each, (N,).
        first: where those that go on from each begin in the next order, (N + 1,); empty at the
            highest order.
        log_p: ln of the interpolated probability of the last token, (N,).
        backoff: ln of the weight of the shorter history where this one is not continued, (N,);
            empty at the highest order.
    """

    words: Ids
    first: Ids
    log_p: NDArray[np.float32]
    backoff: NDArray[np.float32]


class Kernels(Protocol):
    """What counting and scoring are made of."""

    def count_records(self, records_MW: Words) -> tuple[Words, Counts]:
        """Different records, sorted, and how often each occurs. The argument may be spoilt."""

    def merge_records(
        self, a: tuple[Words, Counts], b: tuple[Words, Counts]
    ) -> tuple[Words, Counts]:
        """One sorted set from two, counts added."""

    def find_children(self, first: Ids, child_words: Ids, parents_N: Ids, words_N: Ids) -> Ids:
        """Number of the n-gram that adds `words` to `parents`; -1 where there is none, or where
        the parent is -1."""

    def score_tokens(
        self, levels: Sequence[Level], tokens_T: Ids, start: int
    ) -> NDArray[np.float64]:
        """ln p of each token after those before it, back to the last `start`; 0 for `start`."""


class NumpyKernels:
    """Everything by sorting and searching whole arrays."""

    def count_records(self, records_MW: Words) -> tuple[Words, Counts]:
        return _added(records_MW, np.ones(len(records_MW), dtype=np.int64))

    def merge_records(
        self, a: tuple[Words, Counts], b: tuple[Words, Counts]
    ) -> tuple[Words, Counts]:
        return _added(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))

    def find_children(self, first: Ids, child_words: Ids, parents_N: Ids, words_N: Ids) -> Ids:
        if not len(child_words):
            return np.full(len(parents_N), -1, dtype=np.int32)
        # Parents ascend, and words do below each, so this numbers all in ascending order.
        parents = np.repeat(np.arange(len(first) - 1, dtype=np.int64), np.diff(first))
        keys = (parents << 32) | child_words
        wanted = (parents_N.astype(np.int64) << 32) | words_N
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, at, -1).astype(np.int32)

    def score_tokens(
        self, levels: Sequence[Level], tokens_T: Ids, start: int
    ) -> NDArray[np.float64]:
        log_p = levels[0].log_p[tokens_T].astype(np.float64)
        place = _since(tokens_T == start)
        ids = tokens_T
        for k in range(2, len(levels) + 1):
            shorter, own = levels[k - 2], levels[k - 1]
            ends = np.flatnonzero(place >= k - 1)
            ends = ends[ids[ends - 1] >= 0]
            parents = ids[ends - 1]
            found = self.find_children(shorter.first, own.words, parents, tokens_T[ends])
            seen = found >= 0
            log_p[ends] += shorter.backoff[parents]
            log_p[ends[seen]] = own.log_p[found[seen]]
            ids = np.full(len(tokens_T), -1, dtype=np.int32)
            ids[ends] = found
        log_p[tokens_T == start] = 0.0
        return log_p


class NativeKernels:
    """The same in C.

    Args:
        library: compiled from ngram.c.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.count_records.restype = ctypes.c_int64
        library.merge_records.restype = ctypes.c_int64
        library.find_children.restype = None
        library.score_tokens.restype = None

    def count_records(self, records_MW: Words) -> tuple[Words, Counts]:
        records = np.ascontiguousarray(records_MW, dtype=np.uint64)
        num, width = records.shape
        counts = np.empty(num, dtype=np.int64)
        left = self._library.count_records(_at(records), _int(num), _int(width), _at(counts))
        if left < 0:
            raise MemoryError("no memory to sort n-grams in")
        return records[:left].copy(), counts[:left].copy()

    def merge_records(
        self, a: tuple[Words, Counts], b: tuple[Words, Counts]
    ) -> tuple[Words, Counts]:
        width = a[0].shape[1]
        most = len(a[0]) + len(b[0])
        out, counts = np.empty((most, width), dtype=np.uint64), np.empty(most, dtype=np.int64)
        runs = [
            (np.ascontiguousarray(records), np.ascontiguousarray(own)) for records, own in (a, b)
        ]
        given = [
            value for records, own in runs for value in (_at(records), _at(own), _int(len(own)))
        ]
        num = self._library.merge_records(*given, _int(width), _at(out), _at(counts))
        return out[:num], counts[:num]

    def find_children(self, first: Ids, child_words: Ids, parents_N: Ids, words_N: Ids) -> Ids:
        arrays = [_int32(array) for array in (first, child_words, parents_N, words_N)]
        out = np.empty(len(parents_N), dtype=np.int32)
        self._library.find_children(*map(_at, arrays), _int(len(out)), _at(out))
        return out

    def score_tokens(
        self, levels: Sequence[Level], tokens_T: Ids, start: int
    ) -> NDArray[np.float64]:
        tokens = _int32(tokens_T)
        out = np.empty(len(tokens), dtype=np.float64)
        # The C code sees addresses only: types and strides are made sure of here.
        kinds = (np.int32, np.int32, np.float32, np.float32)
        arrays = [
            [np.ascontiguousarray(level[field], dtype=kind) for level in levels]
            for field, kind in enumerate(kinds)
        ]
        self._library.score_tokens(
            _at(tokens),
            _int(len(tokens)),
            ctypes.c_int32(len(levels)),
            ctypes.c_int32(start),
            *map(_pointers, arrays),
            _at(out),
        )
        return out


def load_kernels(name: KernelName = "auto", folder: Path | None = None) -> Kernels:
    """Compiled loops, or numpy's.

    Args:
        name: "auto" takes numpy where nothing can be compiled.
        folder: where compiled code is kept; None is the user's cache folder.

    Raises:
        ConfigError: "native" is not to be had on this machine, or there is no such name.
    """
    if name not in ("auto", "numpy", "native"):
        raise ConfigError("kernels are auto, numpy or native", got=name, remedy="take auto")
    if name == "numpy":
        return NumpyKernels()
    source = Source(
        name="ngram",
        main=Path(__file__).with_name("ngram.c"),
        others=(),
        flags=_FLAGS,
        machines=("x86_64", "AMD64", "aarch64"),
    )
    try:
        return NativeKernels(load_compiled(source, folder))
    except CompileError as error:
        if name == "auto":
            return NumpyKernels()
        raise ConfigError(
            "compiled n-gram loops are not to be had here",
            got=str(error),
            remedy="install gcc, or take kernels = auto",
        ) from error


def _added(records: Words, counts: Counts) -> tuple[Words, Counts]:
    """Records sorted, counts of equal ones added."""
    if not len(records):
        return records, counts
    order = np.lexsort(records.T[::-1])
    records, counts = records[order], counts[order]
    is_new = np.ones(len(records), dtype=np.bool_)
    is_new[1:] = (records[1:] != records[:-1]).any(axis=1)
    return records[is_new], np.add.reduceat(counts, np.flatnonzero(is_new))


def _since(is_start: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How far each place is from the last start before it, or from the beginning."""
    at = np.arange(len(is_start))
    return at - np.maximum.accumulate(np.where(is_start, at, 0))


def _int32(array: Ids) -> Ids:
    return np.ascontiguousarray(array, dtype=np.int32)


def _int(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _pointers(arrays: Sequence[NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    """Addresses; whoever calls keeps the arrays alive."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
