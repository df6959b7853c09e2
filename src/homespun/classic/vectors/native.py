"""The inner loops, compiled, and which of the two is taken."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_double, c_float, c_int64, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError
from homespun.core.compile import CompileError, Source, load_compiled

Kernels = Literal["auto", "native", "reference"]
"""Which inner loops: compiled where they can be had, compiled or an error, or the slow twin."""

# None of them reorders a sum that is not marked, or assumes that there is no NaN.
FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-fopenmp-simd"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)


class Word2VecStruct(ctypes.Structure):
    """As in vectors.c."""

    _fields_ = [
        *((name, c_int64) for name in ("dim", "window", "negative", "num_words", "cbow")),
        *((name, c_void_p) for name in ("keep", "coin", "other", "sigmoid", "input", "output")),
    ]


class GloveStruct(ctypes.Structure):
    """As in vectors.c."""

    _fields_ = [
        *((name, c_int64) for name in ("dim", "num_words")),
        *((name, c_void_p) for name in ("vectors", "squares", "biases", "bias_squares")),
        ("rate", c_float),
    ]


def load_library(kernels: Kernels, folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled loops, or None for the slow twin.

    Args:
        kernels: "auto" takes the twin where nothing can be compiled.
        folder: where compiled code is kept; None is the user's cache folder.

    Raises:
        ConfigError: "native" is not to be had on this machine, or there is no such choice.
    """
    if kernels not in ("auto", "native", "reference"):
        raise ConfigError("no such kernels", got=kernels, remedy="choose auto, native or reference")
    if kernels == "reference":
        return None
    source = Source(
        name="vectors",
        main=Path(__file__).with_name("vectors.c"),
        others=(),
        flags=FLAGS,
        machines=("x86_64", "AMD64", "aarch64"),
    )
    try:
        library = load_compiled(source, folder)
    except CompileError as error:
        if kernels == "auto":
            return None
        raise ConfigError(
            "compiled word-vector loops are not to be had here",
            got=str(error),
            remedy="install gcc, or go without them (kernels = reference), far slower",
        ) from error
    library.homespun_word2vec.restype = None
    library.homespun_word2vec.argtypes = [
        *(c_void_p, c_void_p, c_void_p, c_int64, c_int64),
        *(c_double, c_double, c_uint64, c_void_p, c_void_p),
    ]
    library.homespun_glove.restype = None
    library.homespun_glove.argtypes = [*(c_void_p,) * 5, c_int64]
    return library


def address(array: NDArray[Any], dtype: type[np.generic]) -> int:
    """Where the values of an array begin that C may read and write as they lie."""
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    return int(array.ctypes.data)


def in_threads(work: Callable[[int], None], num_threads: int) -> None:
    """`work(0)` … `work(num_threads - 1)` side by side: compiled code lets go of the GIL.

    What one of them raises is raised when all have ended: a part not learned is no result.
    """
    if num_threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(num_threads) as pool:
        parts = [pool.submit(work, number) for number in range(num_threads)]
    for part in parts:
        part.result()
