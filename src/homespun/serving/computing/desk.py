"""Where requests are computed: a thread of this process, or a process of its own.

The event loop meets both as a `Desk`. A process is what `homespun serve` takes: Python of an engine
and of a server that refuses many would wait for each other's lock in one, whatever cores there are.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from queue import SimpleQueue
from typing import IO, Any, Protocol

from homespun.core import HomespunError, RunError
from homespun.serving.computing.messages import News, Work
from homespun.serving.computing.rounds import Rounds
from homespun.serving.computing.wire import (
    error_value,
    line_of,
    news_line,
    read_error,
    read_news,
    read_work,
    work_line,
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


class ThreadDesk:
    """Engines of this process, run by a thread.

    Args:
        engines: by the name of their model.
    """

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


class ProcessDesk:
    """Engines of a process that runs `serve_desk`, to which this one talks by its pipes.

    The process ends with this one, however this one ends: its standard input is closed then.

    Args:
        command: starts it.
        job: what `serve_desk` hands to its `opening`; JSON values, as are the facts.
        models: names it will answer to; all of them are broken where it ends by itself.
    """

    def __init__(self, command: Sequence[str], job: object, models: Sequence[str]) -> None:
        self._models = list(models)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=1 << 20,
            # Ctrl-C is for the process that listens. A session of its own would keep it away too,
            # but Linux shares cores out among sessions first: being nice counts within one alone.
            process_group=0 if os.name == "posix" else None,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="homespun-work", daemon=True)
        self._writer.start()
        self._reader: threading.Thread | None = None
        self._has_opened = self._is_stopping = False
        self._lines.put(line_of(job))

    @cached_property
    def facts(self) -> Any:
        """What `opening` told of the engines; waits for it. To be asked for before `start`.

        Raises:
            HomespunError: as `opening` did. RunError: the process ended.
        """
        line = self._from.readline()
        if not line:
            raise RunError(
                "the process that computes ended before it had opened the models",
                got=f"exit status {self._process.wait()}",
                remedy="it may have told above why; -9 is often too little memory",
            )
        facts, error = json.loads(line)
        if (found := read_error(error)) is not None:
            raise found
        self._has_opened = True
        return facts

    @property
    def process_id(self) -> int:
        return self._process.pid

    def start(self, listener: Listener) -> None:
        self._reader = threading.Thread(
            target=self._read, args=(listener,), name="homespun-news", daemon=True
        )
        self._reader.start()

    def put(self, work: Work) -> None:
        self._lines.put(work_line(work))

    def stop(self) -> None:
        self._is_stopping = True
        self._lines.put(None)
        if not self._has_opened:  # it hears nothing before
            self._process.kill()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._writer.join()
        if self._reader is not None:
            self._reader.join()
        self._from.close()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _write(self) -> None:
        """In a thread: a pipe is full where the other process is slow to read, and nobody may wait
        for that. Where it has ended, the reader tells of it."""
        with contextlib.suppress(OSError):
            while (line := self._lines.get()) is not None:
                self._to.write(line)
                if self._lines.empty():
                    self._to.flush()
        with contextlib.suppress(OSError):
            self._to.close()

    def _read(self, listener: Listener) -> None:
        log = logging.getLogger("homespun.serving")
        try:
            for line in self._from:
                if line.endswith(b"\n") and not self._is_stopping:
                    news = read_news(line)
                    try:
                        listener(news)
                    except RuntimeError:
                        return  # nobody listens any more
        except Exception:  # a bug of ours: nobody shall wait for what is not understood
            log.exception("what the process that computes has told is not understood")
            self._process.kill()
        if not self._is_stopping:
            log.error("the process that computes has ended; no model takes requests any more")
            with contextlib.suppress(RuntimeError):
                listener(News(broken=self._models))


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
