"""Listening, and stopping without breaking off what is being said."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI

from homespun.core import ConfigError, RunError
from homespun.serving.http import (
    SecureListener,
    TlsFiles,
    deadline_protocol,
    open_sockets,
    with_door,
)
from homespun.serving.state import Serving

_LOOK_SECONDS = 0.05


class Server(uvicorn.Server):
    """A uvicorn server that is drained before it stops: on the first signal `/ready` says 503 and
    new requests are refused, running answers have `drain_seconds`, and those that are not complete
    then end with an error. A second signal does not wait, a third does not clean up.

    Args:
        app: made by `create_app`.
        host, port: where to listen; port 0 for any that is free.
        on_start: is told the port.
        on_drain: is told how many requests are under way that the end waits for, if any.
        tls: what it answers https with; None for http.

    Attributes:
        app, serving: the application, and what it works with.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        on_start: Callable[[int], None] = lambda port: None,
        on_drain: Callable[[int], None] = lambda num_requests: None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.app = app
        self.serving: Serving = app.state.serving
        self._on_start = on_start
        self._on_drain = on_drain
        self._tls = tls
        self._draining: asyncio.Task[None] | None = None
        limits = self.serving.config
        http = deadline_protocol(
            header_seconds=limits.header_seconds,
            write_seconds=limits.write_seconds,
            most_connections=limits.most_connections,
            on_refusal=self.serving.metrics.on_refusal,
        )
        door = with_door(http, self.serving.refusal, self.serving.metrics.on_refusal)
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=cast(type[asyncio.Protocol], door),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=limits.keep_alive_seconds,
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=limits.most_header_bytes,
                backlog=512,
            )
        )

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        opened = open_sockets(self.config.host, self.config.port, backlog=self.config.backlog)
        try:
            if self._tls is None:
                await super().startup(opened)
            else:
                await self._start_securely(self._tls, opened)
            if not self.started:  # so do older ones say it
                raise SystemExit(3)
        except (SystemExit, OSError) as error:  # the first is uvicorn's word for an app that fails
            for one in opened:
                one.close()
            raise RunError(
                "the server could not be started",
                remedy="the machine may have no more threads or memory to give; close other "
                "programs and start it again",
            ) from error
        listening = self.servers[0].sockets[0].getsockname()
        self._on_start(int(listening[1]))

    async def _start_securely(self, tls: TlsFiles, opened: list[socket.socket]) -> None:
        """As uvicorn does, with a listener of ours."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit(3)
        limits = self.serving.config

        def make() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        listener = SecureListener(
            tls.context(),
            make,
            self.server_state.connections,
            most_connections=limits.most_connections,
            handshake_seconds=limits.handshake_seconds,
            close_seconds=limits.write_seconds,
        )
        listener.listen(opened)
        self.servers = [cast(asyncio.Server, listener)]
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        if self.serving.is_draining:
            self.should_exit = True
            return
        self.serving.is_draining = True
        loop = self.servers[0].get_loop() if self.started else None
        if loop is None:
            self.should_exit = True
        else:
            loop.call_soon_threadsafe(self._begin_draining)

    def stop(self) -> None:
        """Stop as a signal does; may be called from any thread."""
        self.handle_exit(signal.SIGTERM, None)

    def _begin_draining(self) -> None:
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        worker = self.serving.worker
        end = asyncio.get_running_loop().time() + self.serving.config.drain_seconds
        if num_requests := len(worker.open_tickets):
            self._on_drain(num_requests)
        while worker.open_tickets and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_LOOK_SECONDS)
        worker.end_all()
        await asyncio.sleep(_LOOK_SECONDS)  # for the last events of streams
        self.should_exit = True


def check_open(host: str, *, has_keys: bool) -> None:
    """Raises ConfigError where others could reach a server that anybody may use."""
    if host in ("127.0.0.1", "localhost", "::1") or has_keys:
        return
    raise ConfigError(
        f"listening on {host} lets others in, and there is no key",
        remedy="make one with `homespun serve --new-key NAME --keys FILE` and serve with "
        "`--keys FILE`, or listen on 127.0.0.1",
    )
