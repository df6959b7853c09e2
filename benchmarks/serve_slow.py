"""Hundreds of connections that send or read as slowly as they can, beside ordinary ones.

    python benchmarks/serve_slow.py --connections 500 --seconds 60

Three ways, one after another: headers that never end, bodies that never end, readers that hardly
read. Whoever is shown out comes again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from serve_stage import TEXT, Served, post, run_argument, served, share

Way = Callable[[Served, float], Coroutine[Any, Any, None]]


async def slow_headers(server: Served, end: float) -> None:
    await _trickle(
        server, end, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n", b"X: 1\r\n"
    )


async def slow_body(server: Served, end: float) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n"
    await _trickle(server, end, head, b" ")


async def slow_read(server: Served, end: float) -> None:
    # The largest answer that costs nothing to make, so that only the reading is measured.
    data = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while time.perf_counter() < end:
        with contextlib.suppress(OSError), socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", server.port))
            await loop.sock_sendall(connection, data)
            while time.perf_counter() < end and await loop.sock_recv(connection, 8):
                await asyncio.sleep(1)


async def _trickle(server: Served, end: float, head: bytes, more: bytes) -> None:
    while time.perf_counter() < end:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head)
            while time.perf_counter() < end and not reader.at_eof():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await reader.read(4096)
                writer.write(more)
                await writer.drain()
            writer.close()


async def ordinary(server: Served, seconds: float) -> list[float]:
    """How long answers take, one after another; infinite where there is none."""
    body = {"model": server.model, "prompt": "The river", "max_tokens": 8, "temperature": 0}
    found = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        answer = await post(server.port, TEXT, body)
        found.append(answer.seconds if answer.status == 200 else float("inf"))
        await asyncio.sleep(0.01)
    return found


async def measure(server: Served, connections: int, seconds: float) -> bool:
    alone = share(await ordinary(server, min(10.0, seconds)), 99)
    print(f"ordinary requests alone: p99 {alone * 1e3:.1f} ms")
    good = True
    ways: dict[str, Way] = {"headers": slow_headers, "bodies": slow_body, "readers": slow_read}
    for name, way in ways.items():
        end = time.perf_counter() + seconds
        crowd = [asyncio.create_task(way(server, end)) for _ in range(connections)]
        found = await ordinary(server, seconds)
        await asyncio.gather(*crowd)
        beside = share(found, 99)
        print(
            f"beside {connections} slow {name}: p99 {beside * 1e3:.1f} ms, "
            f"{beside / alone:.2f} times; {found.count(float('inf'))} of {len(found)} refused"
        )
        good = good and beside <= 2 * alone
    return good


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    wish = parser.parse_args()
    with served(wish.run, options=wish.serve) as server:
        return 0 if asyncio.run(measure(server, wish.connections, wish.seconds)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
