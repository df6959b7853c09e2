"""Where requests are computed: a thread of this process, or a process of its own.

The event loop meets both as a `Desk`. A process is what `homespun serve` takes: Python of an engine
and of a server that refuses many would wait for each other's lock in one, whatever cores there are.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol

from homespun.core import HomespunError
from homespun.serving.computing.messages import News, Work
from homespun.serving.computing.rounds import Rounds
from homespun.serving.computing.wire import (
    error_value,
    line_of,
    news_line,
    read_work,
)
from homespun.serving.engine import ServedEngine

_AFTER = 5
"""By how much the process that computes is nicer than the one that listens: a refusal is made at
once, and costs an answer a fraction of a millisecond."""
Listener = Callable[[News], None]
"""Takes news, in any thread. Raises RuntimeError where nobody listens any more."""


class Desk(Protocol):
    """Computes what it is given, and tells a listener of it."""

    def start(self, listener: Listener) -> None: ...
    def put(self, work: Work) -> None:
        """Never waits for a step."""
        ...

    def stop(self) -> None:
        """End after the round under way; the listener is not called any more."""
        ...

    @property
    def is_alive(self) -> bool: ...
    @property
    def num_restarts(self) -> int:
        """How often what computes was begun anew."""
        ...

    @property
    def given_up(self) -> str:
        """Why what has failed is not begun anew; "" where it is."""
        ...


class ThreadDesk:
    """Engines of this process, run by a thread. One that fails stays broken.

    Args:
        engines: by the name of their model.
    """

    num_restarts = 0
    given_up = "an engine has failed"

    def __init__(self, engines: Mapping[str, ServedEngine]) -> None:
        self._engines = dict(engines)
        self._rounds: Rounds | None = None
        self._thread: threading.Thread | None = None

    def start(self, listener: Listener) -> None:
        def tell(news: News) -> bool:
            try:
                listener(news)
            except RuntimeError:
                return False
            return True

        self._rounds = Rounds(self._engines, tell)
        self._thread = threading.Thread(
            target=self._rounds.run, name="homespun-engine", daemon=True
        )
        self._thread.start()

    def put(self, work: Work) -> None:
        assert self._rounds is not None
        self._rounds.put(work)

    def stop(self) -> None:
        if self._rounds is not None and self._thread is not None:
            self._rounds.stop()
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


def serve_desk(opening: Callable[[Any], tuple[Mapping[str, ServedEngine], object]]) -> None:
    """The other side of a `ProcessDesk`: run until standard input ends.

    Signals to stop are for the process that listens, which then lets this one end.

    Args:
        opening: makes engines of a job, and what is to be told of them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_AFTER)
    source, target = sys.stdin.buffer, _own_output()
    job = json.loads(source.readline())
    try:
        engines, facts = opening(job)
    except HomespunError as error:
        _tell(target, line_of([None, error_value(error)]))
        return
    _tell(target, line_of([facts, None]))
    rounds = Rounds(engines, lambda news: _tell(target, news_line(news)))

    def listen() -> None:
        try:
            for line in source:
                if line.endswith(b"\n"):
                    rounds.put(read_work(line))
        finally:  # whatever it was: nobody shall wait for a process that hears nothing
            rounds.stop()

    threading.Thread(target=listen, name="homespun-work", daemon=True).start()
    rounds.run()


def _own_output() -> IO[bytes]:
    """Standard output for messages alone: what anybody prints goes to standard error."""
    target = os.fdopen(os.dup(1), "wb", 1 << 20)
    os.dup2(2, 1)
    return target


def _tell(target: IO[bytes], line: bytes) -> bool:
    """Whether anybody listens."""
    try:
        target.write(line)
        target.flush()
    except OSError:
        return False
    return True
