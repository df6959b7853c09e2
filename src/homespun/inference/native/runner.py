"""The compiled step as the engine runs it.

R rows of scores, V vocabulary, D width, T tokens of a step.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Sequence
from ctypes import byref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import TokenLogprob
from homespun.core.machine import num_threads as usual_threads
from homespun.inference.native.build import load_library
from homespun.inference.native.describe import Description
from homespun.inference.native.layout import REPORT, Burst, Chooser, Scratch, Step
from homespun.inference.native.memory import Memory
from homespun.inference.native.pack import WeightKind
from homespun.inference.native.scratch import TILE, new_scratch
from homespun.inference.native.threads import StepWork, ThreadWatch
from homespun.inference.runners.work import BurstRow, Results, Work, Written
from homespun.models import Decoder

_SELF_TEST_SECONDS = 0.1  # for each number of threads
_TOO_SMALL = 1_000_000
"""Bytes of weights, times tokens, below which threads cost more than they save on any machine."""
_MOST_READ_AGAIN = 8_000_000
"""Bytes of weights that threads read each for itself: they lie in a cache all share."""
_MOST_TILES = 2
"""Of rows that a thread takes at once: more have no faster products, and are worse to share out."""
_MANY = 16
"""Tokens of a step from which on it has the threads that are best for as many."""


class NativeRunner:
    """Reads ids into blocks by the compiled step (`runners.Runner`), and writes bursts of tokens.

    Args:
        model: float32, on the processor.
        num_blocks: of the cache.
        weights: how matrices are kept.
        num_threads: None chooses by trial among as many as `core.machine.num_threads` allows, and
            goes on to try while it reads and writes, see `threads`.
        num_words: tokens that may be chosen, the first of the model's.
        end_ids: tokens after which a row of a burst does not go on.

    Raises:
        ConfigError: it is not to be had on this machine, or for this model.
    """

    def __init__(
        self,
        model: Decoder,
        num_blocks: int,
        *,
        weights: WeightKind = "float32",
        num_threads: int | None = None,
        num_words: int | None = None,
        end_ids: Sequence[int] = (),
    ) -> None:
        self._library = load_library()
        self._num_blocks = num_blocks
        self._library.open_pool.restype = ctypes.c_void_p
        self.description = Description(model, num_blocks, weights)
        self._struct = self.description.model
        self._num_words = num_words or int(self._struct.vocab_size)
        self._ends = np.zeros(self._struct.vocab_size, dtype=np.uint8)
        self._ends[list(end_ids)] = 1
        self._most_threads = num_threads or usual_threads()
        self._pool = ctypes.c_void_p(self._library.open_pool(self._most_threads))
        self._scratch, self._room = Scratch(), (0, 0)
        self._own_memory = Memory()
        self._own = (Scratch * self._most_threads)(
            *(
                new_scratch(self._own_memory, self.description, most, most, 1)
                for most in [TILE * _MOST_TILES] * self._most_threads
            )
        )
        words = self._most_threads * int(self._struct.vocab_size)
        self._powers = np.empty(words, dtype=np.float32)
        self._candidates = np.empty(words, dtype=np.int32)
        self.num_threads = self._threads_of_many = self._most_threads
        self._step_work = StepWork.of(self._struct)
        self._watches: dict[str, ThreadWatch] = {}
        if num_threads is None and self._most_threads > 1:
            one, many = self._fastest(1), self._fastest(_MANY)
            self.num_threads, self._threads_of_many = one, many
            # Groups wait for nobody, so how well shared steps did says nothing of them.
            groups = ThreadWatch(self._most_threads)
            self._watches = {"one": ThreadWatch(one), "many": ThreadWatch(many), "groups": groups}

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            self._library.close_pool(pool)

    notice = ""

    @property
    def num_workers(self) -> int:
        """Threads of this process that have been started, the caller's own included."""
        return int(self._library.pool_workers(self._pool))

    @property
    def num_weight_bytes(self) -> int:
        return self.description.num_bytes

    can_burst = True

    def run(self, works: Sequence[Work], *, with_hidden: bool = False) -> Results:
        num_tokens = sum(len(work.ids) for work in works)
        num_scores = sum(work.num_scores for work in works)
        self._make_room(num_tokens, num_scores)
        self.description.reach(max(work.start + len(work.ids) for work in works))
        ids: list[int] = []
        previous: list[int] = []
        wanted: list[int] = []
        for work in works:
            previous.append(work.before[-1] if work.before else -1)
            previous += work.ids[:-1]
            ids += work.ids
            wanted += range(len(ids) - work.num_scores, len(ids))
        counts = np.array([len(work.ids) for work in works])
        scores_RV = torch.empty(num_scores, self._struct.vocab_size)
        hidden_RD = torch.empty(num_scores, self._struct.width) if with_hidden else None
        arrays = [
            np.array(ids, dtype=np.int32),
            np.array(previous, dtype=np.int32),
            np.cumsum(counts) - counts,
            counts,
            np.array([work.start for work in works]),
        ]
        tables, pointers = _lists([work.blocks for work in works])
        known, known_pointers = _lists(
            [[*work.before, *work.ids] for work in works] if self._struct.table else []
        )
        num_before = np.array([len(work.before) for work in works])
        asked = np.array(wanted, dtype=np.int64)
        step = Step(
            num_tokens,
            len(works),
            num_scores,
            *(array.ctypes.data for array in arrays),
            pointers.ctypes.data,
            known_pointers.ctypes.data,
            num_before.ctypes.data,
            asked.ctypes.data,
            scores_RV.data_ptr(),
            None if hidden_RD is None else hidden_RD.data_ptr(),
        )
        watch = self._watches.get("many" if num_tokens >= _MANY else "one")
        kind = ("read", num_tokens.bit_length())
        threads = self._threads(num_tokens) if watch is None else watch.next(kind)
        begun = time.perf_counter()
        self._library.decode_step(
            byref(self._struct), byref(step), byref(self._scratch), self._pool, threads
        )
        if watch is not None:
            watch.took(self._step_work(works), time.perf_counter() - begun, kind)
        del tables, known
        return Results(scores_RV, hidden_RD)

    def copy_block(self, source: int, target: int) -> None:
        of_one = self.description.kept_bytes
        sizes = (self.description.key_size * of_one, self.description.value_size * of_one)
        for layer in self.description.layers:
            for base, size in zip((layer.keys, layer.values), sizes, strict=True):
                ctypes.memmove(base + target * size, base + source * size, size)

    def burst(self, rows: Sequence[BurstRow], most: int) -> list[Written]:
        num = len(rows)
        self._make_room(num, num)
        self.description.reach(max(row.start + min(most, row.limit) for row in rows))
        ids = np.array([row.token for row in rows], dtype=np.int32)
        previous = np.array([row.before[-1] if row.before else -1 for row in rows], dtype=np.int32)
        start = np.array([row.start for row in rows])
        tables, pointers = _lists([row.blocks for row in rows])
        known, known_pointers = _lists([[*row.before, row.token, *[0] * most] for row in rows])
        num_before = np.array([len(row.before) for row in rows])
        choosers = (Chooser * num)(
            *(
                Chooser(
                    row.ask.seed,
                    row.ask.place,
                    row.ask.filters.top_k,
                    row.ask.filters.temperature,
                    row.ask.filters.top_p,
                    row.ask.filters.min_p,
                    row.limit,
                    -1 if row.num_top is None else row.num_top,
                )
                for row in rows
            )
        )
        is_told = any(row.num_top is not None for row in rows)
        reports = np.zeros((num, most) if is_told else (1, 1), dtype=REPORT)
        chosen = np.zeros((num, most), dtype=np.int32)
        num_chosen = np.zeros(num, dtype=np.int64)
        burst = Burst(
            num,
            most,
            self._num_words,
            ids.ctypes.data,
            previous.ctypes.data,
            start.ctypes.data,
            pointers.ctypes.data,
            known_pointers.ctypes.data,
            num_before.ctypes.data,
            ctypes.addressof(choosers),
            self._ends.ctypes.data,
            chosen.ctypes.data,
            num_chosen.ctypes.data,
            self._powers.ctypes.data,
            self._candidates.ctypes.data,
            reports.ctypes.data,
        )
        in_groups = self._group(num, self._most_threads) > 0
        watch = self._watches.get("groups" if in_groups else "many" if num >= _MANY else "one")
        kind = ("write", num.bit_length())
        threads = self._threads(num) if watch is None else watch.next(kind)
        begun = time.perf_counter()
        self._library.decode_burst(
            byref(self._struct),
            byref(burst),
            byref(self._scratch),
            self._own,
            ctypes.c_int64(self._group(num, threads)),
            self._pool,
            threads,
        )
        if watch is not None:
            watch.took(int(num_chosen.sum()), time.perf_counter() - begun, kind)
        del tables, known
        return [
            Written(
                tokens[:count],
                _told(row, tokens[:count], reports[at] if is_told else reports, self._num_words),
            )
            for at, (row, tokens, count) in enumerate(
                zip(rows, chosen.tolist(), num_chosen.tolist(), strict=True)
            )
        ]

    def _make_room(self, num_tokens: int, num_scores: int) -> None:
        """Memory of a step; made anew, at least twice as large, where it does not suffice."""
        if num_tokens <= self._room[0] and num_scores <= self._room[1]:
            return
        tokens = max(num_tokens, 2 * self._room[0], 64)
        rows = max(num_scores, min(2 * self._room[1], tokens), 1)
        memory = Memory()
        self._scratch = new_scratch(memory, self.description, tokens, rows, self._most_threads)
        self._memory, self._room = memory, (tokens, rows)

    def _group(self, num_rows: int, threads: int) -> int:
        """Rows that a thread takes at once, so that the one with most has as few as can be; 0 where
        all threads share each token of all rows."""
        if num_rows < TILE * threads or self.description.num_bytes > _MOST_READ_AGAIN:
            return 0
        sizes = [TILE * tiles for tiles in range(_MOST_TILES, 0, -1)]

        def most_rows(size: int) -> int:
            return math.ceil(math.ceil(num_rows / size) / threads) * size

        return min(sizes, key=most_rows)

    def _threads(self, num_tokens: int) -> int:
        """Threads where nothing is tried any more."""
        return self.num_threads if num_tokens < _MANY else self._threads_of_many

    def _fastest(self, num_tokens: int) -> int:
        """The number of threads with which so many tokens take the least time, here and now."""
        if self.description.num_bytes * num_tokens < _TOO_SMALL:
            return 1
        # Each in a block of its own, where there are as many: threads would wait for one line else.
        blocks = [at % self._num_blocks for at in range(num_tokens)]
        works = [Work([0], 0, [block], 1, []) for block in blocks]
        counts = sorted({1, 2, max(1, self._most_threads // 2), self._most_threads})
        times: dict[int, list[float]] = {count: [] for count in counts}
        until = time.perf_counter() + _SELF_TEST_SECONDS * len(counts)
        # In turn, so that what else the machine does meets all of them.
        while len(times[1]) < 3 or time.perf_counter() < until:
            for count in counts:
                self.num_threads = self._threads_of_many = count
                begun = time.perf_counter()
                self.run(works)
                times[count].append(time.perf_counter() - begun)
        typical = {count: sorted(each)[len(each) // 4] for count, each in times.items()}
        best = 1
        for count in counts:  # a tenth less is what a second core must be worth
            if typical[count] < 0.9 * typical[best]:
                best = count
        return best


def _lists(rows: Sequence[Sequence[int]]) -> tuple[list[Any], NDArray[np.uint64]]:
    """Each row as an array of its own, and pointers to them."""
    arrays = [np.array(row, dtype=np.int32) for row in rows]
    return arrays, np.array([array.ctypes.data for array in arrays], dtype=np.uint64)


def _told(
    row: BurstRow, tokens: Sequence[int], reports: NDArray[Any], most: int
) -> list[TokenLogprob]:
    """Of each token that was chosen, where the row wants to be told; of small vocabularies there
    are no more than `most`."""
    if row.num_top is None:
        return []
    found = []
    num = min(row.num_top, most)
    for token, report in zip(tokens, reports, strict=False):
        ids, values = report["ids"][:num], report["logprobs"][:num]
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        found.append(TokenLogprob(token, float(report["own"]), top))
    return found
