"""Ctrl-C and polite kills, held back until a step is finished and saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Interruption:
    """Which signal asked to stop, if any. Once it was noticed, `leave` goes the way it asked.

    Attributes:
        signal: that this process received.
        agreed: by which all processes leave, this one or another having received it.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.agreed: int | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: now
        self.signal = number

    def leave(self) -> NoReturn:
        """Raises KeyboardInterrupt for SIGINT; SystemExit with the shell's code for others."""
        number = self.agreed or self.signal
        assert number is not None
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def held_signals() -> Iterator[Interruption]:
    """Hold back SIGINT and SIGTERM inside the block; the previous handlers return after it.

    Only the main thread may set handlers; elsewhere this holds back nothing.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interruption.receive) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
