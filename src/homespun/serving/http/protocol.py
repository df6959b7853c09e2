"""Deadlines uvicorn has not: for headers that come slowly, and for readers that read slowly.

uvicorn waits for ever for a request that has begun, and every byte resets its keep-alive timer, so
a few hundred connections that send a byte now and then would hold the server. Bodies have their
deadline in `guard`.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from homespun.serving.errors import ApiError, error_body


class DeadlineProtocol(H11Protocol):
    """An HTTP/1.1 connection that does not wait for ever.

    Attributes:
        header_seconds: from the first byte of a request, or from the opening of the connection,
            until its headers are complete.
        write_seconds: in which a reader must make room for what is sent, and take the rest of it
            once an answer is complete.
        most_connections: open at once.
        on_refusal: is told the status of every refusal that is made here.
    """

    header_seconds = 10.0
    write_seconds = 30.0
    most_connections = 1024
    on_refusal: Callable[[int], None] = staticmethod(lambda status: None)

    _is_too_many = False
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            # Answered when the request is there: closed with something unread, a connection is
            # reset, and the other side never learns why.
            self._is_too_many = True
            self._reading = self.loop.call_later(_SHORT_SECONDS, self._turn_away)
            return
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_too_many:
            self._turn_away()
            return
        if self._is_between_requests and self._reading is None:
            self._wait_for_headers()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_reading()

    def on_response_complete(self) -> None:
        # What is left may be too little to pause the writing, and would be kept for a reader who
        # never comes back for it.
        if self._ending is None and self.transport.get_write_buffer_size() > 0:
            self._ending = self.loop.call_later(self.write_seconds, self._abort_unread)
        super().on_response_complete()
        if not self._is_between_requests:  # the next one was there already
            self._stop_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.write_seconds, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def send_400_response(self, msg: str) -> None:
        # h11 says only that a request is no HTTP, or that its headers are too long.
        told = "the request is not valid HTTP, or its headers are too long"
        self._refuse(ApiError(400, told))

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_headers(self) -> None:
        self._reading = self.loop.call_later(self.header_seconds, self.too_slow)

    def _turn_away(self) -> None:
        told = "too many connections are open"
        self._refuse(ApiError(503, told, headers={"Retry-After": "2"}))

    def too_slow(self) -> None:
        """The request did not arrive in time."""
        told = f"the request did not arrive within {self.header_seconds:g} seconds"
        self._refuse(ApiError(408, told))

    def _refuse(self, error: ApiError) -> None:
        """Answer without the application, and close."""
        self._stop_timers()
        if self.transport.is_closing():
            return
        if not self._is_between_requests:  # an answer is under way, nothing may come between
            self.transport.abort()
            return
        self.transport.write(closing_answer(error))
        self.transport.close()
        self.on_refusal(error.status)

    def _abort(self) -> None:
        self._writing = None
        self.transport.abort()

    def _abort_unread(self) -> None:
        self._ending = None
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()

    def _stop_reading(self) -> None:
        """A request has come: who sends it takes what was sent before, or is paused."""
        for timer in (self._reading, self._ending):
            if timer is not None:
                timer.cancel()
        self._reading = self._ending = None

    def _stop_timers(self) -> None:
        self._stop_reading()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


_SHORT_SECONDS = 1.0


def closing_answer(error: ApiError) -> bytes:
    """A whole refusal, for where the application is not asked; the connection closes after it."""
    return _closing_answer(
        error.status, str(error), error.param, error.code, tuple(error.headers.items())
    )


@functools.lru_cache(maxsize=64)  # under overload the same one is sent thousands of times a second
def _closing_answer(
    status: int,
    message: str,
    param: str | None,
    code: str | None,
    more: tuple[tuple[str, str], ...],
) -> bytes:
    body = json.dumps(error_body(status, message, param=param, code=code)).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **dict(more),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


def deadline_protocol(
    *,
    header_seconds: float,
    write_seconds: float,
    most_connections: int,
    on_refusal: Callable[[int], None] = lambda status: None,
) -> type[DeadlineProtocol]:
    """A protocol class with these limits, as uvicorn wants to be handed one."""
    limits: dict[str, Any] = {
        "header_seconds": header_seconds,
        "write_seconds": write_seconds,
        "most_connections": most_connections,
        "on_refusal": staticmethod(on_refusal),
    }
    return type("LimitedProtocol", (DeadlineProtocol,), limits)
