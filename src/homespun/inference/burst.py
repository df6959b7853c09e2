"""Which rows write several tokens in one call, and how many, where a runner can do that."""

from __future__ import annotations

from collections.abc import Sequence

from homespun.inference.blocks import BlockPool
from homespun.inference.pace import SHORT_BURST, Pace
from homespun.inference.runners.work import Runner
from homespun.inference.scheduler import Reading
from homespun.inference.search import SamplingJob
from homespun.inference.tickets import AnyJob

SMALL = 32_000_000
"""Bytes of weights that are read in a millisecond or less: a step more costs next to nothing."""


class Bursts:
    """Parts what is to be read from what is to be written.

    Args:
        runner: whose bursts they are.
        pool: its blocks.
        pace: how many tokens a burst may have.
    """

    def __init__(self, runner: Runner, pool: BlockPool, pace: Pace) -> None:
        self._runner = runner
        self._is_small = runner.num_weight_bytes <= SMALL
        self._pool = pool
        self._pace = pace

    def part(
        self, readings: Sequence[Reading[AnyJob]]
    ) -> tuple[list[Reading[AnyJob]], list[SamplingJob]]:
        """What is to be read in one step first, and who writes a burst after it.

        Of a prompt whose answer is plain the last id is left to the burst, so that its first token
        is chosen there. With large weights, reading them twice would cost more than it saves: all
        is one step then, if anything but writing is to be done. All answers of a request are plain,
        or none is.
        """
        if not self._runner.can_burst:
            return list(readings), []
        rest: list[Reading[AnyJob]] = []
        writers: list[SamplingJob] = []
        for reading in readings:
            job, row, num, reaches_end = reading
            if not (isinstance(job, SamplingJob) and reaches_end and _is_plain(job)):
                rest.append(reading)
                continue
            writers.append(job)
            if num > 1:
                rest.append(Reading(job, row, num - 1, reaches_end=False))
        if rest and not self._is_small:
            return list(readings), []
        return rest, writers

    def length(
        self,
        writers: Sequence[SamplingJob],
        rest: Sequence[Reading[AnyJob]],
        *,
        somebody_waits: bool,
    ) -> int:
        """How many tokens of each row; their blocks are there then."""
        left = [job.answer.num_left for job in writers]
        most = max(1, min(max(left), self._pace.burst))
        if somebody_waits or not all(job.has_begun for job in writers):
            most = min(most, SHORT_BURST)
        written = {id(job) for job in writers}
        if any(id(job) not in written for job, *_ in rest):
            most = 1  # others get one token a step, or wait for more of their prompts to be read
        # Place for one token is there. For more it is taken only where all get it: places nobody
        # writes to would send others back.
        while most > 1 and self._num_blocks(writers, left, most) > self._pool.num_free:
            most //= 2
        for job, num in zip(writers, left, strict=True):
            self._pool.grow(job.row, min(most, num))
        return most

    def _num_blocks(self, writers: Sequence[SamplingJob], left: Sequence[int], most: int) -> int:
        pairs = zip(writers, left, strict=True)
        return sum(self._pool.num_wanted(job.row, min(most, num)) for job, num in pairs)


def _is_plain(job: SamplingJob) -> bool:
    return job.answer.is_plain and not job.answer.settings.lookup_tokens
