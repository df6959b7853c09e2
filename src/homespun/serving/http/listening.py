"""Listening, and for https: a connection counts from the moment it is opened, and TLS is agreed on
soon.

Where an event loop is handed a certificate it accepts whoever comes, waits a minute for each of
them to agree on TLS, and tells nobody of them before they have. Here they are accepted one by one,
so that those who have opened a connection and say nothing count as the others do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from homespun.core import RunError

_SPARE = 32
"""Connections above the limit that are heard for a moment, so that they can be told of it."""
_SHORT_SECONDS = 1.0
_PAUSE_SECONDS = 0.5
"""After a connection that could not be accepted: often there are no file descriptors left."""
_ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_REMEDIES = {
    errno.EADDRINUSE: "another program may use that port; choose another with --port",
    errno.EACCES: "low ports are the administrator's; choose another with --port, such as 8000",
}
_NOT_HERE = "give --host a name or an address of this machine, such as 127.0.0.1 or 0.0.0.0"


def open_sockets(host: str, port: int, *, backlog: int = 512) -> list[socket.socket]:
    """Sockets that listen at every address that `host` stands for and this machine has.

    Args:
        host, port: where; "" for every address, port 0 for any that is free.
        backlog: connections that wait until they are accepted.

    Raises:
        RunError: nobody can listen there; it says why.
    """
    opened: list[socket.socket] = []
    absent: OSError | None = None
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, *_, address in dict.fromkeys(found):
            try:
                opened.append(socket.create_server(address, family=family, backlog=backlog))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error  # a name may stand for more than this machine has
        if absent is not None and not opened:
            raise absent
    except UnicodeError as error:
        raise RunError(f"'{host}' is no name of a host", remedy=_NOT_HERE) from error
    except OSError as error:
        for one in opened:
            one.close()
        raise _cannot_listen(host, port, error) from error
    for one in opened:
        one.setblocking(False)
    return opened


def check_free(host: str, port: int) -> None:
    """Raises RunError where nobody can listen there, to be told before anything takes long."""
    for one in open_sockets(host, port):
        one.close()


def _cannot_listen(host: str, port: int, error: OSError) -> RunError:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    is_unknown = isinstance(error, socket.gaierror)  # with numbers of its own
    why = os.strerror(error.errno) if error.errno and not is_unknown else error.strerror
    remedy = "mend that, or choose another place with --host and --port"
    if is_unknown or error.errno in _ABSENT:
        remedy = _NOT_HERE
    elif error.errno is not None:
        remedy = _REMEDIES.get(error.errno, remedy)
    return RunError(f"cannot listen on {place}", got=why, remedy=remedy)


class SecureListener:
    """Accepts connections, agrees on TLS with them, and hands them to a protocol; to uvicorn it is
    what `loop.create_server` gives.

    Args:
        context: of the certificate.
        make: the protocol of a connection on which TLS is agreed.
        connections: all that are open, as the server counts them. Those that agree on TLS are among
            them, as objects that can be told to `shutdown`.
        most_connections: open at once. A few more are heard for a second, since only then can they
            be told; others are closed.
        handshake_seconds: in which TLS must be agreed on.
        close_seconds: in which the other side must take what was sent, and the end.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
        connections: set[Any],
        *,
        most_connections: int,
        handshake_seconds: float,
        close_seconds: float,
    ) -> None:
        self._context = context
        self._make = make
        self._connections = connections
        self._most = most_connections
        self._handshake_seconds = handshake_seconds
        self._close_seconds = close_seconds
        self._loop = asyncio.get_running_loop()
        self._accepting: list[asyncio.Task[None]] = []
        self.sockets: list[socket.socket] = []

    def listen(self, sockets: list[socket.socket]) -> None:
        """Accept whoever comes there. The sockets are closed with the listener."""
        self.sockets = sockets
        self._accepting = [self._loop.create_task(self._accept(one)) for one in self.sockets]

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def close(self) -> None:
        """Accept no more. What is open stays so."""
        for task in self._accepting:
            task.cancel()
        for one in self.sockets:
            one.close()

    async def wait_closed(self) -> None:
        """Waits until nothing is accepted any more."""
        await asyncio.gather(*self._accepting, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(listening)
            except OSError as error:
                if listening.fileno() < 0:
                    return
                log = logging.getLogger("homespun.serving")
                log.warning("a connection could not be accepted: %s", error.strerror)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._take(accepted)
            await asyncio.sleep(0)  # the next one may be there already

    def _take(self, accepted: socket.socket) -> None:
        over = len(self._connections) - self._most
        if over >= _SPARE:
            accepted.close()
            return
        seconds = self._handshake_seconds
        if over >= 0:
            seconds = min(seconds, _SHORT_SECONDS)
        handshake = _Handshake(self._make, self._connections)
        handshake.begin(
            self._loop.connect_accepted_socket(
                lambda: handshake,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=self._close_seconds,
            )
        )


class _Handshake(asyncio.Protocol):
    """A connection until TLS is agreed on; it counts from its making.

    Args:
        make: the protocol it goes on with.
        connections: all that are open.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], connections: set[Any]) -> None:
        self._make = make
        self._connections = connections
        connections.add(self)

    def begin(self, agreeing: Coroutine[Any, Any, object]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(agreeing))

    def shutdown(self) -> None:
        """As uvicorn asks of its connections when it stops."""
        self._task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # From here on the protocol it goes on with counts.
        self._connections.discard(self)
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    async def _run(self, agreeing: Coroutine[Any, Any, object]) -> None:
        try:
            # Who is too slow or speaks no TLS is gone, and nobody has to hear of it.
            with contextlib.suppress(OSError):
                await agreeing
        finally:
            self._connections.discard(self)
