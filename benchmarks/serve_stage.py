"""A server in a process of its own, and a plain client, for the benchmarks of the server.

The client is asyncio and nothing else: it shares the machine with what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


class Served(NamedTuple):
    """A server that listens, and the name of its model."""

    port: int
    model: str
    process: subprocess.Popen[str]

    @property
    def resident_mb(self) -> float:
        """Of the process that listens and the one that computes."""
        return sum(one.memory_info().rss for one in self._processes) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """Of all cores, since it began."""
        times = [one.cpu_times() for one in self._processes]
        return float(sum(one.user + one.system for one in times))

    @property
    def _processes(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children()]


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        status: 0 where the connection was closed before there was one.
        body: all that came after the headers.
        seconds: to the end. first_seconds: to the first byte of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    first_seconds: float

    @property
    def num_tokens(self) -> int:
        """Tokens of a whole answer; 0 for others."""
        if self.status != 200:
            return 0
        found = re.findall(rb'"completion_tokens":(\d+)', self.body)
        return int(found[-1]) if found else 0


@contextlib.contextmanager
def served(
    run: Path | None,
    settings: Mapping[str, Any] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Served]:
    """`homespun serve` on a free port; of a tiny run made for it where `run` is None."""
    with tempfile.TemporaryDirectory() as scratch:
        if run is None:
            from bad_input_stage import make_run

            run = make_run(Path(scratch))
        limits = Path(scratch) / "limits.json"
        limits.write_text(json.dumps(dict(settings or {})))
        words = ["serve", str(run), "--port", "0", "--settings", str(limits), *options]
        command = [sys.executable, "-m", "homespun", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = ""
            while not (at := re.search(r":(\d+)/;", told)):
                line = process.stdout.readline()
                if not line:
                    raise SystemExit("the server did not start")
                told += line.replace("\n", " ")
            try:
                yield Served(int(at[1]), run.name, process)
            finally:
                process.terminate()
                process.wait(60)


async def post(port: int, path: str, body: Any, *, leave_after: float | None = None) -> Answer:
    """One request over a connection of its own.

    Args:
        leave_after: go away so many seconds after sending.
    """
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return await _asked(port, head.encode() + data, leave_after)


async def get(port: int, path: str) -> Answer:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return await _asked(port, head.encode(), None)


class _Asking(asyncio.Protocol):
    """Sends a request and gathers what comes until the connection ends.

    A protocol, since streams take twice the time, and the time of clients is the server's too.
    """

    def __init__(self, data: bytes, begun: float) -> None:
        self._data = data
        self._begun = begun
        self._first = 0.0
        self._got = bytearray()
        self.ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._first and b"\r\n\r\n" in self._got[:-1]:
            self._first = time.perf_counter() - self._begun

    def connection_lost(self, exc: Exception | None) -> None:
        seconds = time.perf_counter() - self._begun
        head, end, body = bytes(self._got).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        if not end or exc is not None:
            answer = Answer(0, {}, b"", seconds, 0.0)
        else:
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            answer = Answer(int(lines[0].split()[1]), headers, body, seconds, self._first)
        if not self.ended.done():
            self.ended.set_result(answer)


async def _asked(port: int, data: bytes, leave_after: float | None) -> Answer:
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    try:
        transport, asking = await loop.create_connection(
            lambda: _Asking(data, begun), "127.0.0.1", port
        )
    except ConnectionError:
        return Answer(0, {}, b"", time.perf_counter() - begun, 0.0)
    try:
        if leave_after is None:
            return await asking.ended
        await asyncio.sleep(leave_after)
        return Answer(0, {}, b"", time.perf_counter() - begun, 0.0)
    finally:
        transport.close()


async def metrics(port: int) -> dict[str, float]:
    """Numbers of `/metrics` without labels, by name."""
    text = (await get(port, "/metrics")).body.decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^vllm:(\w+)\{[^}]*\} ([\d.e+-]+)", text, re.M)
    }


def share(values: list[float], percent: float) -> float:
    """The value that so many percent are not above; NaN of nothing."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def run_argument(told: str) -> argparse.ArgumentParser:
    """Options all of these have."""
    parser = argparse.ArgumentParser(description=told)
    parser.add_argument("--run", type=Path, help="a run to serve; a tiny one is made without")
    parser.add_argument(
        "--serve", type=shlex.split, default=[], help="more words for homespun serve: '--threads 1'"
    )
    return parser
