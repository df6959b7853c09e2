"""A process that computes, and another where it ends: the side of whoever takes requests."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from queue import SimpleQueue
from typing import IO, Any

from homespun.core import HomespunError, RunError
from homespun.serving.computing.desk import Listener
from homespun.serving.computing.messages import News, Work
from homespun.serving.computing.wire import line_of, read_error, read_news, work_line
from homespun.serving.config import ServerConfig

_PATIENCE = 10.0
"""Seconds in which a process must have ended once its input has."""


class ProcessDesk:
    """Engines of a process that runs `serve_desk`, to which this one talks by its pipes.

    The process ends with this one, however this one ends: its standard input is closed then. Where
    it ends by itself, or one of its engines fails, all its models are broken, and another is begun
    in its place, a few times. Where too many have failed, models that did stay broken, and the
    process ended until `restart_window_seconds` are over.

    Args:
        command: starts it.
        job: what `serve_desk` hands to its `opening`; JSON values, as are the facts.
        models: names it will answer to.
        limits: how often another is begun: `most_restarts` within `restart_window_seconds`.

    Attributes:
        num_restarts: how often another was begun.
        given_up: why no other is begun for now; "" where one is. Anybody may read it.
    """

    def __init__(
        self,
        command: Sequence[str],
        job: object,
        models: Sequence[str],
        *,
        limits: ServerConfig | None = None,
    ) -> None:
        limits = limits or ServerConfig()
        self._command = list(command)
        self._job = line_of(job)
        self._models = list(models)
        self._most = limits.most_restarts
        self._within = limits.restart_window_seconds
        self._pause = limits.restart_pause_seconds
        self._log = logging.getLogger("homespun.serving")
        self._begun: deque[float] = deque()  # when others were
        self.num_restarts = 0
        self.given_up = ""
        self._reader: threading.Thread | None = None
        self._must_stop = threading.Event()
        self._lock = threading.Lock()  # of `_child`, and of whether there may be another
        self._child = _Child(self._command, self._job)

    @cached_property
    def facts(self) -> Any:
        """What `opening` told of the engines; waits for it. To be asked for before `start`.

        Raises:
            HomespunError: as `opening` did. RunError: the process ended.
        """
        return self._child.open()

    @property
    def process_id(self) -> int:
        return self._child.process.pid

    @property
    def is_alive(self) -> bool:
        return self._child.process.poll() is None

    def start(self, listener: Listener) -> None:
        self._reader = threading.Thread(
            target=self._run, args=(listener,), name="homespun-news", daemon=True
        )
        self._reader.start()

    def put(self, work: Work) -> None:
        self._child.put(work_line(work))

    def stop(self) -> None:
        with self._lock:
            self._must_stop.set()
        self._child.end()
        if self._reader is not None:
            self._reader.join()
        self._child.close()

    def _run(self, listener: Listener) -> None:
        """In a thread: hand on what processes tell, one after another."""
        # Where nobody listens any more, it says so by a RuntimeError.
        with contextlib.suppress(RuntimeError):
            while True:
                why = self._read(listener)
                if self._must_stop.is_set():
                    return
                status = self._child.process.wait()
                if not why:
                    self._judge(f"the process that computes has ended with status {status}")
                listener(News(broken=self._models))
                while not self._begin_another():
                    if self._must_stop.is_set():
                        return
                    listener(News(broken=self._models))  # it may have failed until it was too often
                    if not self._has_waited():
                        return
                listener(News(mended=self._models))

    def _read(self, listener: Listener) -> str:
        """Until the process has ended. Why it was made to, which is judged then; "" where it did by
        itself."""
        why = ""
        child = self._child
        for line in child.lines():
            if self._must_stop.is_set():
                continue
            try:
                news = read_news(line)
            except Exception:  # a bug of ours: nobody shall wait for what is not understood
                self._log.exception("what the process that computes has told is not understood")
                child.process.kill()
                child.process.wait()
                why = "what was told is not understood"
                self._judge(why)
                return why
            if news.broken and self._judge("an engine has failed"):
                why = "an engine has failed"
                child.process.kill()  # only another process has one that is sound
            listener(news)
        return why

    def _judge(self, why: str) -> bool:
        """Whether another is to be begun; else `given_up` says why not."""
        now = time.monotonic()
        while self._begun and now - self._begun[0] > self._within:
            self._begun.popleft()
        num = len(self._begun)
        if num >= self._most:
            times = "once" if num == 1 else f"{num} times"
            within = f"{self._within / 60:g} minutes"
            if self._within < 60:
                within = f"{self._within:g} seconds"
            self.given_up = f"{why}, and it was started {times} in {within} before" if num else why
            self._log.error("%s; it is not started again", self.given_up)
            return False
        self.given_up = ""
        self._log.error("%s; it is started again", why)
        return True

    def _has_waited(self) -> bool:
        """Until what was begun is long enough ago to begin anew. False where it is to stop."""
        left = None  # where none is ever begun, until the end
        if self._most:
            last = self._begun[0] + self._within if self._begun else 0.0
            left = max(0.0, last - time.monotonic())
        if self._must_stop.wait(left):
            return False
        self.given_up = ""
        return True

    def _begin_another(self) -> bool:
        """Whether there is one that computes now."""
        while not self.given_up and not self._must_stop.wait(self._pause):
            self._child.end()
            self._child.close()
            with self._lock:
                if self._must_stop.is_set():
                    break
                self._begun.append(time.monotonic())
                self.num_restarts += 1
                try:
                    # What is put from here on is for the new one. Whatever of it was asked before
                    # the models were known to be broken is dropped again behind it.
                    self._child = _Child(self._command, self._job)
                except (OSError, RuntimeError) as error:  # no memory, files or threads for it
                    self._log.error("a process could not be begun: %s", error)
                    self._judge("no process could be begun")
                    continue
            try:
                facts = self._child.open()
                if facts != self.facts:
                    raise RunError(
                        "the models on disk are not those that were opened first",
                        remedy="stop the server and start it again",
                    )
            except (HomespunError, OSError, ValueError) as error:
                if not self._must_stop.is_set():
                    # What it says of files is for whoever reads the log.
                    self._log.error("the models could not be opened again: %s", error)
                    self._judge("the models could not be opened again")
            else:
                self._log.warning("another process computes now")
                return True
        return False


class _Child:
    """One process, and a thread that writes to it.

    Args:
        command: starts it.
        job: its first line.
    """

    def __init__(self, command: Sequence[str], job: bytes) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=1 << 20,
            # Ctrl-C is for the process that listens. A session of its own would keep it away too,
            # but Linux shares cores out among sessions first: being nice counts within one alone.
            process_group=0 if os.name == "posix" else None,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to: IO[bytes] = self.process.stdin
        self._from: IO[bytes] = self.process.stdout
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="homespun-work", daemon=True)
        self._writer.start()
        self._has_opened = False
        self.put(job)

    def put(self, line: bytes) -> None:
        self._lines.put(line)

    def open(self) -> Any:
        """What it tells of its engines; waits for it. Raises what it failed with."""
        line = self._from.readline()
        if not line:
            raise RunError(
                "the process that computes ended before it had opened the models",
                got=f"exit status {self.process.wait()}",
                remedy="it may have told above why; -9 is often too little memory",
            )
        facts, error = json.loads(line)
        if (found := read_error(error)) is not None:
            raise found
        self._has_opened = True
        return facts

    def lines(self) -> Iterator[bytes]:
        """What it tells, until it ends."""
        for line in self._from:
            if line.endswith(b"\n"):
                yield line

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._lines.put(None)
        if not self._has_opened:  # it hears nothing before
            self.process.kill()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._writer.join()

    def close(self) -> None:
        """Once nobody reads its lines any more."""
        self._from.close()

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
