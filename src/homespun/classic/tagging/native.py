"""The inner loops of `lattice`, compiled: the same numbers within rounding, a hundred times faster.

Letters: N positions, T tags.
"""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from homespun.classic.tagging.lattice import Floats, Ints, Lattice, NumpyLattice, Pairs, Sequences
from homespun.core import ConfigError
from homespun.core.compile import CompileError, Source, load_compiled

FLAGS = ("-O3", "-march=native", "-std=c11", "-fno-math-errno", "-ffp-contract=fast")
Kernels = Literal["auto", "native", "numpy"]


class _Crf(ctypes.Structure):
    _fields_ = (
        ("num_sequences", ctypes.c_int64),
        ("num_tags", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("sequence_start", "position_start", "features")),
        *((name, ctypes.c_void_p) for name in ("pair_start", "pair_tag", "weights")),
        ("num_pairs", ctypes.c_int64),
    )


class NativeLattice:
    """The inner loops in C.

    Raises:
        CompileError: they cannot be had on this machine.
    """

    def __init__(self, sequences: Sequences, pairs: Pairs, *, folder: Path | None = None) -> None:
        source = Source(
            name="crf",
            main=Path(__file__).with_name("crf.c"),
            others=(),
            flags=FLAGS,
            machines=("x86_64", "AMD64", "aarch64"),
        )
        self._library = load_compiled(source, folder)
        self._library.crf_objective.restype = ctypes.c_double
        # The arrays are kept: C sees only their addresses.
        self._sequences = Sequences(
            np.ascontiguousarray(sequences.sequence_start, np.int64),
            np.ascontiguousarray(sequences.position_start, np.int64),
            np.ascontiguousarray(sequences.features, np.int32),
        )
        self._pairs = Pairs(
            np.ascontiguousarray(pairs.start, np.int64),
            np.ascontiguousarray(pairs.tag, np.int32),
            pairs.num_tags,
        )

    def objective(self, weights: Floats, gold_N: Ints) -> tuple[float, Floats]:
        """See `Lattice`. Raises MemoryError."""
        weights = np.ascontiguousarray(weights, np.float64)
        gold_N = np.ascontiguousarray(gold_N, np.int32)
        gradient = np.zeros(self._pairs.num_weights)
        return self._sums(weights, _address(gold_N), _address(gradient), None), gradient

    def paths(self, weights: Floats) -> Ints:
        """See `Lattice`. Raises MemoryError."""
        weights = np.ascontiguousarray(weights, np.float64)
        paths_N = np.zeros(len(self._sequences.position_start) - 1, np.int32)
        if self._library.crf_viterbi(self._struct(weights), _address(paths_N)):
            raise MemoryError("no memory for the best paths")
        return paths_N

    def marginals(self, weights: Floats) -> Floats:
        """See `Lattice`. Raises MemoryError."""
        weights = np.ascontiguousarray(weights, np.float64)
        p_NT = np.zeros((len(self._sequences.position_start) - 1, self._pairs.num_tags))
        self._sums(weights, None, None, _address(p_NT))
        return p_NT

    def _sums(self, weights: Floats, *arrays: ctypes.c_void_p | None) -> float:
        """The loss, 0 without gold. The arrays are gold, gradient and marginals."""
        loss = float(self._library.crf_objective(self._struct(weights), *arrays))
        if math.isnan(loss) and np.isfinite(weights).all():
            raise MemoryError("no memory for the sums over all tags")
        return loss

    def _struct(self, weights: Floats) -> Any:
        assert len(weights) == self._pairs.num_weights
        s, p = self._sequences, self._pairs
        crf = _Crf(
            len(s.sequence_start) - 1,
            p.num_tags,
            s.sequence_start.ctypes.data,
            s.position_start.ctypes.data,
            s.features.ctypes.data,
            p.start.ctypes.data,
            p.tag.ctypes.data,
            weights.ctypes.data,
            len(p.tag),
        )
        return ctypes.byref(crf)


def _address(array: Floats | Ints) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def make_lattice(sequences: Sequences, pairs: Pairs, kernels: Kernels = "auto") -> Lattice:
    """The compiled loops where there is a C compiler, else those in numpy.

    Raises:
        ConfigError: `kernels` is "native", and they cannot be had.
    """
    if kernels == "numpy":
        return NumpyLattice(sequences, pairs)
    try:
        return NativeLattice(sequences, pairs)
    except CompileError as error:
        if kernels == "auto":
            return NumpyLattice(sequences, pairs)
        raise ConfigError(
            "the compiled loops of the CRF are not to be had here",
            got=str(error),
            remedy='install gcc, or take kernels="numpy"',
        ) from error
