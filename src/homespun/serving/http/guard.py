"""The gate: who may ask, under which name of this machine, and how much at once.

It is plain ASGI and outermost, so that it holds for every route, mounted ones and unknown ones
included, and decides by `scope["path"]`, which is what the router goes by.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homespun.serving.access import Answered
from homespun.serving.errors import ApiError
from homespun.serving.http.body import check_json
from homespun.serving.keys import KeyRing
from homespun.serving.turnstile import Turnstile

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::\d{1,5})?")
_SHORT_SECONDS = 1.0
_LONGEST_PATH = 200  # characters of a line in a log
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}


class Caller(NamedTuple):
    """Who asks, as routes see them in `request.state.caller`.

    Attributes:
        name: of the key; empty where none is needed.
        salt: what only they share of remembered prompts.
    """

    name: str
    salt: bytes


class Guard:
    """Wraps an application.

    Args:
        app: what is guarded.
        keys: who may ask; with none, everybody who reaches the server may.
        hosts: names this server answers to, in small letters, without ports.
        most_body_bytes, deepest_json, most_objects, body_seconds: limits of a body.
        is_public: whether a path needs no key.
        refusal: why nothing can be answered at a path at the moment; told before a body is read.
        inside: surrounds what is done once it is, given the path and the key's name; raises
            ApiError as `refusal` tells.
        turnstile: what every request passes before the application sees it.
        most_held_bytes: of the bodies of all requests that are under way.
        on_refusal: is told the status of every answer from 400 on.
        on_answer: is told of every answer once it is written.
    """

    def __init__(  # noqa: PLR0913 - one limit each
        self,
        app: ASGIApp,
        *,
        keys: KeyRing,
        hosts: Collection[str],
        most_body_bytes: int,
        deepest_json: int,
        most_objects: int,
        body_seconds: float,
        most_held_bytes: int,
        is_public: Callable[[str], bool],
        refusal: Callable[[str], ApiError | None] = lambda path: None,
        inside: Callable[[str, str], AbstractContextManager[None]] = lambda path, key: (
            nullcontext()
        ),
        turnstile: Turnstile | None = None,
        on_refusal: Callable[[int], None] = lambda status: None,
        on_answer: Callable[[Answered], None] | None = None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(host.lower() for host in hosts)
        self._most_body_bytes = most_body_bytes
        self._deepest_json = deepest_json
        self._most_objects = most_objects
        self._body_seconds = body_seconds
        self._is_public = is_public
        self._refusal = refusal
        self._inside = inside
        self._turnstile = turnstile or Turnstile()
        self._most_held_bytes = most_held_bytes
        self._held_bytes = 0
        self._on_refusal = on_refusal
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no route takes web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        if self._on_answer is None:
            await self._answer(scope, receive, _with_headers(send, self._on_refusal))
            return
        status, begun = 0, time.monotonic()

        def told(number: int) -> None:
            nonlocal status
            status = number

        try:
            await self._answer(scope, receive, _with_headers(send, self._on_refusal, told))
        finally:
            caller = scope.get("state", {}).get("caller")
            self._on_answer(
                Answered(
                    scope["method"],
                    scope["path"][:_LONGEST_PATH],
                    status,
                    time.monotonic() - begun,
                    "" if caller is None else caller.name,
                )
            )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        receive = incoming = _Incoming(receive)
        with ExitStack() as stack, self._holding() as hold:
            try:
                scope.setdefault("state", {})["caller"] = caller = self._admitted(scope)
                if (refusal := self._refusal(scope["path"])) is not None:
                    raise refusal
                body = await self._read(scope, receive, hold)
                stack.enter_context(self._inside(scope["path"], caller.name))
            except ApiError as error:
                headers = {**error.headers, "Connection": "close"}
                if error.status == 401:
                    headers["WWW-Authenticate"] = "Bearer"
                await _refuse(JSONResponse(error.body, error.status, headers), incoming, send)
                return
            if body is not None:
                await self._turnstile.wait()
                await self._app(scope, _replayed(body, receive), send)

    def _admitted(self, scope: Scope) -> Caller:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        if not _HOST.fullmatch(host):
            raise ApiError(400, "the request needs one Host header", code="host_missing")
        self._check_host(host)
        for origin in headers.get(b"origin", []):
            # Pages of other sites may not even send: an answer they cannot read may do harm.
            self._check_host(_place_of(origin.decode("latin-1")), "origin")
        if not self._keys or self._is_public(scope["path"]):
            return Caller("", b"")
        given = headers.get(b"authorization", [])
        kind, _, key = (given[0] if len(given) == 1 else b"").partition(b" ")
        if kind.lower() != b"bearer" or not key:
            told = "this server needs a key; send it as 'Authorization: Bearer KEY'"
            raise ApiError(401, told, code="missing_api_key")
        name = self._keys.name_of(key.strip())
        if name is None:
            raise ApiError(401, "the key is not valid here", code="invalid_api_key")
        return Caller(name, self._keys.salt_of(name))

    def _check_host(self, host: str, what: str = "host") -> None:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() not in self._hosts:
            told = f"this server does not answer to that {what}"
            raise ApiError(403, told, code=f"{what}_not_allowed")

    @contextmanager
    def _holding(self) -> Iterator[Callable[[int], None]]:
        """Counts bytes that are held as long as the request is under way. What is given raises
        ApiError where all requests together hold too many."""
        own = 0

        def hold(num_bytes: int) -> None:
            nonlocal own
            if self._held_bytes + num_bytes > self._most_held_bytes:
                told = "too much is being sent at once; try again shortly"
                raise ApiError(503, told, code="overloaded", headers={"Retry-After": "1"})
            own += num_bytes
            self._held_bytes += num_bytes

        try:
            yield hold
        finally:
            self._held_bytes -= own

    async def _read(
        self, scope: Scope, receive: Receive, hold: Callable[[int], None]
    ) -> bytes | None:
        """The whole body; None where the client is gone."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return b""
        headers = {name.lower(): value for name, value in scope["headers"]}
        most = self._most_body_bytes
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or len(told) > 20 or int(told) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    hold(len(parts[-1]))
                    if size > most:
                        raise _too_large(most)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            told_late = f"the body did not arrive within {self._body_seconds:g} seconds"
            raise ApiError(408, told_late, code="timeout") from None
        body = b"".join(parts)
        if body:
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                told_kind = "the body must be JSON, sent as 'Content-Type: application/json'"
                raise ApiError(415, told_kind, code="unsupported_media_type")
            check_json(body, deepest=self._deepest_json, most_objects=self._most_objects)
        return body


class _Incoming:
    """What comes of a request, and whether all of its body has."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_over = not message.get("more_body", False)
        return message


async def _refuse(answer: JSONResponse, incoming: _Incoming, send: Send) -> None:
    """Send a refusal, and take for a moment what is still being sent: closed with something unread,
    a connection is reset, and the other side may never learn why."""
    headers = answer.raw_headers
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(_SHORT_SECONDS):
            while not incoming.is_over:
                await incoming()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is too large; {most} bytes are the most", code="too_large")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body at once, then whatever comes."""
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def _with_headers(
    send: Send,
    on_refusal: Callable[[int], None],
    on_status: Callable[[int], None] = lambda status: None,
) -> Send:
    number = secrets.token_hex(8)

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS.items() if name not in there]
            headers.append((b"x-request-id", f"req_{number}".encode()))
            message = {**message, "headers": headers}
            on_status(message["status"])
            if message["status"] >= 400:
                on_refusal(message["status"])
        await send(message)

    return add


def _place_of(origin: str) -> str:
    """Host and port of an origin; "" of what is none, which no server is called."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
