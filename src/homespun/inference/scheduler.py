"""Which rows read what in the next step."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, Protocol, TypeVar

from homespun.inference.blocks import BlockPool, Row


class Job(Protocol):
    """Rows that are admitted together and give their blocks back together.

    Attributes:
        wants_hidden: hidden states are wanted.
    """

    rows: list[Row]
    wants_hidden: bool

    @property
    def wants_every(self) -> bool:
        """Whether scores behind every token are wanted, not behind the last alone."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether it must not be admitted yet."""
        ...


JobT = TypeVar("JobT", bound=Job)


class Reading(NamedTuple, Generic[JobT]):
    """What a row reads in a step: `num_tokens` of its ids, and its draft where they are the last.

    `reaches_end` tells that all its ids are read then, so that the next one can be chosen.
    """

    job: JobT
    row: Row
    num_tokens: int
    reaches_end: bool


class Scheduler(Generic[JobT]):
    """Rows that write come first, one token each; then one chunk of prompts is read, those that
    were admitted first before others; then jobs are admitted while there is place.

    When a row that writes finds no block, the job that was admitted last gives all of its own back
    and is read anew later. One job alone always fits: the engine refuses larger ones.

    Args:
        pool: the blocks there are.
        max_rows: most rows at a time.
        prefill_chunk: most tokens of prompts in a step.
        most_scored: of one prompt in a step, where each token has scores of all words.

    Attributes:
        prefill_chunk: as given; may be changed between two plans.
        admitted: for the first time, in the last plan.
    """

    def __init__(
        self, pool: BlockPool, *, max_rows: int, prefill_chunk: int, most_scored: int
    ) -> None:
        self._pool = pool
        self._max_rows = max_rows
        self._most_scored = most_scored
        self.prefill_chunk = prefill_chunk
        self.waiting: deque[JobT] = deque()
        self.running: list[JobT] = []
        self.admitted: list[JobT] = []
        self.num_preempted = 0
        self.num_admitted_tokens = 0
        self.num_cached_tokens = 0

    @property
    def num_rows(self) -> int:
        return sum(len(job.rows) for job in self.running)

    def add(self, job: JobT) -> None:
        self.waiting.append(job)

    def remove(self, job: JobT) -> None:
        """Take `job` out, running or waiting; its blocks are free."""
        if job in self.running:
            self.running.remove(job)
        else:
            self.waiting.remove(job)
        for row in job.rows:
            self._pool.drop(row)

    def plan(self) -> list[Reading[JobT]]:
        """What to read now. Blocks are there for all of it."""
        self.admitted.clear()
        readings: list[Reading[JobT]] = []
        # A copy: jobs may be sent back on the way, always from the end.
        for job in list(self.running):
            if job in self.running and all(self._make_place(row, job) for row in job.rows):
                readings += [Reading(job, row, 1, True) for row in job.rows if row.num_pending == 1]
        budget = self.prefill_chunk
        for job in self.running:
            budget = self._read_prompts(job, budget, readings, least=2)
        while budget > 0 and (admitted := self._admit()) is not None:
            budget = self._read_prompts(admitted, budget, readings, least=1)
        return readings

    def _make_place(self, row: Row, job: JobT) -> bool:
        """Find place for what the row has to read. False if its own job had to go."""
        if row.num_pending == 0:
            return True
        if row.draft and not self._pool.grow(row, row.num_pending + len(row.draft)):
            row.draft = []  # a guess is not worth a block of anybody's
        while not self._pool.grow(row, row.num_pending):
            last = self.running[-1]
            self._send_back(last)
            if last is job:
                return False
        return True

    def _read_prompts(
        self, job: JobT, budget: int, readings: list[Reading[JobT]], *, least: int
    ) -> int:
        for row in job.rows:
            num = min(row.num_pending, budget)
            if job.wants_every:
                num = min(num, self._most_scored)
            if row.num_pending >= least and num > 0:
                row.draft = []
                readings.append(Reading(job, row, num, num == row.num_pending))
                budget -= num
        return budget

    def _admit(self) -> JobT | None:
        """The next job that waits, if there is place for what it has to read."""
        job = next((job for job in self.waiting if not job.is_waiting), None)
        if job is None or (self.running and self.num_rows + len(job.rows) > self._max_rows):
            return None
        for row in job.rows:
            self._pool.adopt(row)
            # Rows that write get a block each before newcomers do, or they would be sent back soon.
            reserve = self.num_rows if self.running else 0
            room = self._pool.num_free > reserve
            if not (room and self._pool.grow(row, row.num_pending)):
                for admitted in job.rows:
                    self._pool.drop(admitted)
                return None
        if all(row.num_cached is None for row in job.rows):
            self.admitted.append(job)
        for row in job.rows:
            if row.num_cached is None:
                row.num_cached = row.num_read
                self.num_admitted_tokens += len(row.ids)
                self.num_cached_tokens += row.num_read
        self.waiting.remove(job)
        self.running.append(job)
        return job

    def _send_back(self, job: JobT) -> None:
        self.running.remove(job)
        for row in job.rows:
            self._pool.drop(row)
        self.waiting.appendleft(job)
        self.num_preempted += 1
