r"""ARPA files: n-gram models as text, which KenLM, SRILM and others read and write.

    \data\
    ngram 1=4
    …
    \1-grams:
    log10 p <tab> words with blanks between <tab> log10 of the backoff weight
    …
    \end\

An interpolated model is written as one that backs off: the probability of an n-gram that is in the
file has its shorter histories' share in it already, and one that is not has the product of the
weights of the histories that are, times the probability after the longest one that is continued.

N n-grams of an order, K their tokens.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from homespun.classic.kneser_ney.estimate import NEVER
from homespun.classic.kneser_ney.kernels import Ids, Kernels, Level, load_kernels
from homespun.classic.kneser_ney.vocabulary import MARKS, START_ID, Vocabulary
from homespun.core import DataError
from homespun.core.files import atomic_path, text_error

_LINES_AT_ONCE = 1 << 16
_LN_10 = float(np.log(10.0))
_NO_WORD = re.compile("[ \t\n\r\v\f\0\ud800-\udfff]")
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)")  # IRSTLM sets numbers in columns


def write_arpa(path: Path, vocabulary: Vocabulary, levels: Sequence[Level]) -> None:
    """Write levels to `path`, which appears once it is whole.

    Raises:
        DataError: a word is empty or has a blank or half a character in it, which the format
            cannot say.
    """
    for word in vocabulary.words:
        if not word or _NO_WORD.search(word):
            raise DataError(
                "an ARPA file has no words with blanks or half characters in them, or empty ones",
                got=repr(word),
                remedy="take them apart before fitting",
            )
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\\data\\\n")
        for k, level in enumerate(levels, start=1):
            file.write(f"ngram {k}={len(level.words)}\n")
        for k, level in enumerate(levels, start=1):
            file.write(f"\n\\{k}-grams:\n")
            for begin in range(0, len(level.words), _LINES_AT_ONCE):
                file.writelines(_lines(vocabulary.words, levels, k, begin))
        file.write("\n\\end\\\n")


def read_arpa(path: Path) -> tuple[Vocabulary, list[Level]]:
    """Vocabulary and levels of an ARPA file.

    A file that was pruned may lack an n-gram's first tokens or last tokens, which here must be
    there: they are put in with what backing off says of them, and weigh nothing more, so that all
    probabilities are those of the file.

    Raises:
        DataError: it is no such file; the message says where.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            return _Reader(file, load_kernels()).read()
    except (OSError, UnicodeDecodeError) as error:
        raise text_error(error, path) from error


def _lines(words: Sequence[str], levels: Sequence[Level], k: int, begin: int) -> Iterator[str]:
    """Of some n-grams of order `k`."""
    own = levels[k - 1]
    end = min(begin + _LINES_AT_ONCE, len(own.words))
    columns = []
    at: NDArray[np.int64] = np.arange(begin, end)
    for j in range(k, 0, -1):
        columns.append([words[word] for word in levels[j - 1].words[at].tolist()])
        if j > 1:  # whose children these are
            at = np.searchsorted(levels[j - 2].first, at, side="right") - 1
    grams = map(" ".join, zip(*reversed(columns), strict=True))
    log_p = _log10(own.log_p[begin:end])
    if k == 1 and begin == 0:
        log_p[START_ID] = NEVER
    if not len(own.backoff):
        return (f"{p:.9g}\t{gram}\n" for p, gram in zip(log_p, grams, strict=True))
    backoff = _log10(own.backoff[begin:end])
    return (
        f"{p:.9g}\t{gram}\t{weight:.9g}\n"
        for p, gram, weight in zip(log_p, grams, backoff, strict=True)
    )


def _log10(ln: NDArray[np.float32]) -> list[float]:
    """In double precision, so that nine digits lead back to the same single number."""
    values: list[float] = (ln.astype(np.float64) / _LN_10).tolist()
    return values


class _Grams:
    """What the lines of an order say, in their order in the file."""

    def __init__(self) -> None:
        self.ids, self.log_p, self.backoff = array("i"), array("d"), array("d")


class _Reader:
    """An ARPA file, from top to bottom.

    Args:
        file: open for reading.
        kernels: to find n-grams with.
    """

    def __init__(self, file: TextIO, kernels: Kernels) -> None:
        self._file = file
        self._kernels = kernels
        self._line = 0
        self._ids: dict[str, int] = {}
        self._levels: list[Level] = []

    def read(self) -> tuple[Vocabulary, list[Level]]:
        sizes = self._sizes()
        for k, size in enumerate(sizes, start=1):
            if self._next() != f"\\{k}-grams:":
                raise self._wrong(f"there is no section of {k}-grams")
            if k == 1:
                vocabulary = self._unigrams(size, len(sizes))
            else:
                self._add(k, self._grams(k, size, has_backoff=k < len(sizes)), k < len(sizes))
        if self._next() != "\\end\\":
            raise self._wrong("it does not end where it should")
        return vocabulary, self._levels

    def _sizes(self) -> list[int]:
        line = self._next()
        while line != "\\data\\":  # what stands before it is a remark
            line = self._next()
        sizes: list[int] = []
        while line := self._raw():
            found = _COUNT.fullmatch(line)
            if not found or int(found[1]) != len(sizes) + 1:
                raise self._wrong("the numbers of n-grams are not listed from 1 up")
            sizes.append(int(found[2]))
        if not 1 <= len(sizes) <= 16:
            raise self._wrong("it has no n-grams, or ones longer than 16")
        return sizes

    def _unigrams(self, size: int, order: int) -> Vocabulary:
        rows: dict[str, tuple[float, float]] = {}
        for word, p, backoff in self._rows(size):
            if word in rows:
                raise self._wrong("a word is there twice")
            rows[word] = (p, backoff)
        vocabulary = Vocabulary(word for word in rows if word not in MARKS)
        self._ids = {word: number for number, word in enumerate(vocabulary.words)}
        values = np.array([rows.get(word, (NEVER, 0.0)) for word in vocabulary.words])
        log_p, backoff = np.ascontiguousarray(values.T * _LN_10, dtype=np.float32)
        words = np.arange(len(vocabulary), dtype=np.int32)
        nothing = np.zeros(0, dtype=np.int32)
        self._levels.append(Level(words, nothing, log_p, backoff if order > 1 else backoff[:0]))
        return vocabulary

    def _grams(self, k: int, size: int, *, has_backoff: bool) -> _Grams:
        grams = _Grams()
        number_of = self._ids.__getitem__
        for gram, p, backoff in self._rows(size):
            words = gram.split(" ")
            try:
                grams.ids.extend(map(number_of, words))
            except KeyError:
                raise self._wrong("a word is not among the 1-grams") from None
            if len(words) != k:
                raise self._wrong(f"it has not {k} words")
            grams.log_p.append(p)
            if has_backoff:
                grams.backoff.append(backoff)
        return grams

    def _add(self, k: int, grams: _Grams, has_longer: bool) -> None:
        """Sort the n-grams of an order below those of the one before."""
        ids_NK = np.array(grams.ids, dtype=np.int32).reshape(-1, k)
        self._complete(ids_NK[:, :-1])
        self._complete(ids_NK[:, 1:])
        parents = self._numbers(ids_NK[:, :-1])
        order = np.lexsort((ids_NK[:, -1], parents))
        words = np.ascontiguousarray(ids_NK[order, -1])
        parents = parents[order]
        if ((words[1:] == words[:-1]) & (parents[1:] == parents[:-1])).any():
            raise self._wrong(f"one of the {k}-grams is there twice")
        self._set_first(k - 1, np.bincount(parents, minlength=len(self._levels[-1].words)))
        log_p, backoff = (
            (np.array(values, dtype=np.float64) * _LN_10).astype(np.float32)
            for values in (grams.log_p, grams.backoff)
        )
        nothing = np.zeros(0, dtype=np.int32)
        self._levels.append(
            Level(words, nothing, log_p[order], backoff[order] if has_longer else backoff)
        )

    def _numbers(self, ids_NK: Ids) -> Ids:
        """Of n-grams in their order, -1 for those that are not there."""
        found = ids_NK[:, 0]
        for j in range(1, ids_NK.shape[1]):
            found = self._kernels.find_children(
                self._levels[j - 1].first, self._levels[j].words, found, ids_NK[:, j]
            )
        return found

    def _complete(self, ids_NK: Ids) -> None:
        """Put in those that are not there, and first what they rest on: as probable as they are by
        backing off, and with no weight of their own."""
        absent = self._numbers(ids_NK) < 0
        if not absent.any():
            return
        ids_MK = np.unique(ids_NK[absent], axis=0)
        self._complete(ids_MK[:, :-1])
        self._complete(ids_MK[:, 1:])
        k = ids_MK.shape[1]
        shorter, own = self._levels[k - 2], self._levels[k - 1]
        new_parents, ends = self._numbers(ids_MK[:, :-1]), self._numbers(ids_MK[:, 1:])
        log_p = shorter.backoff[new_parents].astype(np.float64) + shorter.log_p[ends]
        parents = np.repeat(np.arange(len(shorter.words)), np.diff(shorter.first))
        parents = np.concatenate([parents, new_parents])
        words = np.concatenate([own.words, ids_MK[:, -1]])
        order = np.lexsort((words, parents))
        none = np.zeros(len(ids_MK), dtype=np.int32)
        self._levels[k - 1] = Level(
            words[order],
            own.first,
            np.concatenate([own.log_p, log_p.astype(np.float32)])[order],
            np.concatenate([own.backoff, none.astype(np.float32)])[order],
        )
        if len(own.first):  # nothing goes on from the new ones yet
            self._set_first(k, np.concatenate([np.diff(own.first), none])[order])
        self._set_first(k - 1, np.bincount(parents, minlength=len(shorter.words)))

    def _set_first(self, k: int, num_children: NDArray[np.int64]) -> None:
        """Of order `k`, how many n-grams go on from each."""
        first = np.zeros(len(num_children) + 1, dtype=np.int32)
        np.cumsum(num_children, out=first[1:])
        self._levels[k - 1] = self._levels[k - 1]._replace(first=first)

    def _rows(self, size: int) -> Iterator[tuple[str, float, float]]:
        """n-gram, log10 p and log10 backoff (0 where there is none) of the next lines."""
        for _ in range(size):
            fields = self._raw().split("\t")
            try:
                p, gram = float(fields[0]), fields[1]
                backoff = float(fields[2]) if len(fields) > 2 else 0.0
            except (ValueError, IndexError):
                raise self._wrong("it has not a number, the words and a number") from None
            if not (p <= 1e-6 and p > -1e6 and -1e6 < backoff < 1e6):
                raise self._wrong("it has a number that is no logarithm of a probability")
            yield gram, p, backoff

    def _next(self) -> str:
        """The next line that says something."""
        while True:
            line = self._raw(may_end=False)
            if line:
                return line

    def _raw(self, *, may_end: bool = True) -> str:
        line = self._file.readline()
        self._line += 1
        if not line and not may_end:
            raise self._wrong("it ends before its end mark")
        return line.rstrip("\r\n").rstrip(" ")

    def _wrong(self, what: str) -> DataError:
        return DataError(f"line {self._line} of the ARPA file: {what}", remedy="write it anew")
