"""Answers as JSON, long ones in pieces: between two pieces other streams have their turn.

A request may be told 200,000 log probabilities, some 10 MB. Written in one go they would hold the
event loop, and every stream of others, for most of a second; in a thread they would hold Python's
lock instead.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

_SLICE = 1 << 18
"""Bytes handed to a connection at once: encrypting them takes a fraction of a millisecond."""


class Pieces:
    """A value that is written piece by piece, in its place within another.

    Args:
        pieces: UTF-8 of its JSON; each a millisecond of work at most, and empty ones count too.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces


def as_json(value: Any) -> bytes:
    """A value without `Pieces`, as short as it can be."""
    return _dumped(value).encode()


def _dumped(value: Any, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), **more)


async def written(value: Any) -> bytes:
    """The JSON of a value that may hold `Pieces`. They are written in the order in which they are
    found, and the event loop goes round after each piece."""
    found: list[Pieces] = []
    mark = ""

    def default(other: object) -> str:
        nonlocal mark
        if not isinstance(other, Pieces):
            raise TypeError(f"{type(other).__name__} is not JSON")
        mark = mark or secrets.token_hex(16)  # nobody can have written that into a text
        found.append(other)
        return mark

    text = _dumped(value, default=default).encode()
    if not found:
        return text
    between = text.split(f'"{mark}"'.encode())
    parts = [between[0]]
    for one, after in zip(found, between[1:], strict=True):
        for piece in one.pieces:
            parts.append(piece)
            await asyncio.sleep(0)
        parts.append(after)
    return b"".join(parts)


def slices(data: bytes) -> Iterator[bytes]:
    """What is sent at once, one after another; all of it where it is short."""
    if len(data) <= _SLICE:
        yield data
        return
    for at in range(0, len(data), _SLICE):
        yield data[at : at + _SLICE]


class WrittenResponse(JSONResponse):
    """An answer whose JSON is written already; it is sent slice by slice.

    Args:
        content: from `written`.
    """

    def render(self, content: bytes) -> bytes:
        return content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= _SLICE:
            await super().__call__(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        for part in slices(bytes(self.body)):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
