"""A few at a time: long work on the event loop, spread over its rounds."""

from __future__ import annotations

import asyncio


class Turnstile:
    """Lets a few callers through in each round of the event loop.

    Where many answers end in one moment, as many clients ask anew in the next. Each takes a
    millisecond or two; all in one round, nobody else would be heard for a tenth of a second.

    Args:
        most: callers a round.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._passed = 0

    async def wait(self) -> None:
        while self._passed >= self._most:
            await asyncio.sleep(0)
        if self._passed == 0:
            asyncio.get_running_loop().call_soon(self._reset)
        self._passed += 1

    def _reset(self) -> None:
        self._passed = 0
