"""What an engine without a cache in blocks remembers of its requests: numbers, and what it did."""

from __future__ import annotations

from homespun.inference.stats import EngineStats


class Ledger:
    """The books of an engine that writes so many answers at a time, each in a place of its own.

    Args:
        max_rows: places.

    Attributes:
        admitted: requests that got a place in the last step; one may be there more than once.
        num_chosen: tokens, since it began.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.admitted: list[int] = []
        self.num_chosen = 0
        self._num_read = 0
        self._next_number = 0

    def number(self) -> int:
        """That of a new request."""
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def begin_step(self) -> None:
        self.admitted = []

    def admit(self, number: int, num_tokens: int) -> None:
        """A request gets a place; `num_tokens` are read for it."""
        self.admitted.append(number)
        self._num_read += num_tokens

    def stats(self, num_running: int, num_waiting: int) -> EngineStats:
        """Places count as the blocks of a cache do. More may run than there are places, where a
        request that takes more than all of them is alone."""
        return EngineStats(
            num_running=num_running,
            num_waiting=num_waiting,
            num_blocks=self.max_rows,
            num_free_blocks=max(0, self.max_rows - num_running),
            num_prompt_tokens=self._num_read,
            num_cached_tokens=0,
            num_tokens=self.num_chosen,
            num_preempted=0,
            num_guessed=0,
            num_right=0,
        )
