"""A few at a time: long work on the event loop, spread over its rounds."""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets a few callers through in each round of the event loop, in the order in which they came.

    Where many answers end in one moment, as many clients ask anew in the next. Each takes a
    millisecond or two; all in one round, nobody else would be heard for a tenth of a second.

    Args:
        most: callers a round.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()  # a round is due where anybody is

    async def wait(self) -> None:
        if self._passed < self._most and not self._waiting:
            self._count()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _count(self) -> None:
        if self._passed == 0:
            asyncio.get_running_loop().call_soon(self._begin_round)
        self._passed += 1

    def _begin_round(self) -> None:
        self._passed = 0
        while self._waiting and self._passed < self._most:
            turn = self._waiting.popleft()
            if not turn.done():  # else nobody waits for it any more
                turn.set_result(None)
                self._count()
