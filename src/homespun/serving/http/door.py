"""What a connection meets first: a refusal that costs next to nothing, or HTTP proper.

Under overload nine of ten requests are refused, and what a refusal costs is taken from the answers
that are being computed. Parsing HTTP, a task and an application for it take about a millisecond of
Python; here it is one look at the first line and one write.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from homespun.serving.errors import ApiError
from homespun.serving.http.protocol import DeadlineProtocol, closing_answer

Refusal = Callable[[str], ApiError | None]
_FIRST_LINE = re.compile(rb"POST (/[!-~]{1,200}) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_LONGEST = 1 << 30
_SHORT_SECONDS = 1.0


class Door(asyncio.Protocol):
    """Stands before a connection's first request, which it refuses or hands on with the connection.

    Whatever is not plainly a request that would be refused is handed on as it came, and everything
    but this one refusal is decided there, hosts and keys among it.

    Args:
        refusal: why nothing can be answered at a path now.
        make: the protocol that speaks HTTP.
        limits: its class.
        connections: all that are open, as the server counts them.
        on_refusal: is told the status of every refusal that is made here.
    """

    def __init__(
        self,
        refusal: Refusal,
        make: Callable[[], DeadlineProtocol],
        limits: type[DeadlineProtocol],
        connections: set[Any],
        on_refusal: Callable[[int], None],
    ) -> None:
        self._refusal = refusal
        self._on_refusal = on_refusal
        self._make = make
        self._limits = limits
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._unread: int | None = None  # bytes of a refused request that are still to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._connections) >= self._limits.most_connections:
            self._hand_on()
            return
        self._connections.add(self)
        self._wait(self._limits.header_seconds, self._out_of_time)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._unread is not None:
            self._unread -= len(data)
            if self._unread <= 0:
                self._transport.close()
            return
        line = _FIRST_LINE.match(data)
        refusal = self._refusal(line[1].decode("ascii")) if line else None
        if refusal is None:
            self._hand_on().data_received(data)
        else:
            self._refuse(refusal, data)

    def shutdown(self) -> None:
        """As uvicorn asks of its connections when it stops."""
        self._transport.close()

    def _hand_on(self) -> DeadlineProtocol:
        self._leave()
        protocol = self._make()
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        return protocol

    def _refuse(self, refusal: ApiError, data: bytes) -> None:
        self._transport.write(closing_answer(refusal))
        self._on_refusal(refusal.status)
        head, end, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        self._unread = int(length[1]) - len(body) if end and length else _LONGEST
        if self._unread <= 0:
            self._transport.close()
        else:
            # Closed with something unread, a connection is reset, and the other side may never
            # learn why.
            self._wait(_SHORT_SECONDS, self._transport.close)

    def _out_of_time(self) -> None:
        self._hand_on().too_slow()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def with_door(
    limits: type[DeadlineProtocol], refusal: Refusal, on_refusal: Callable[[int], None]
) -> Callable[..., asyncio.BaseProtocol]:
    """What uvicorn calls for each connection."""

    def make(*, server_state: Any, **of_server: Any) -> Door:
        http = partial(limits, server_state=server_state, **of_server)
        return Door(refusal, http, limits, server_state.connections, on_refusal)

    return make
