"""Server-sent events as OpenAI sends them: `data: {json}`, and `data: [DONE]` at the end."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from homespun.core import HomespunError
from homespun.serving.errors import api_error
from homespun.serving.http.written import as_json, slices, written
from homespun.serving.openai.asking import Asking

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; as events where `stream` is true.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}
"""For the description of the API."""
DONE = b"data: [DONE]\n\n"
_PADDED = 64
HEARTBEAT = b": still here\n\n"


def event(value: Any, *, name: str = "", padded: bool = False) -> bytes:
    """One event; with a name where the client chooses by it.

    Args:
        padded: as `include_obfuscation` asks: a field `obfuscation` of random letters fills the
            event up to a multiple of `_PADDED` bytes, so that its length does not tell how long
            the token in it is.
    """
    return _framed(as_json({**value, "obfuscation": ""} if padded else value), name, padded)


async def written_event(value: Any, *, name: str = "", padded: bool = False) -> bytes:
    """The same of a value that may hold `Pieces`."""
    return _framed(await written({**value, "obfuscation": ""} if padded else value), name, padded)


def _framed(text: bytes, name: str, padded: bool) -> bytes:
    if padded:  # the last field is empty so far
        missing = -len(text) % _PADDED
        text = text[:-2] + secrets.token_hex(_PADDED)[:missing].encode() + text[-2:]
    lead = f"event: {name}\n" if name else ""
    return lead.encode() + b"data: " + text + b"\n\n"


class EventStream(Response):
    """Sends events as they come, and ends what they come from when the client goes.

    An error after the beginning is an event of its own, in the shape of an error body; [DONE] does
    not follow it.

    Args:
        asking: where they come from; closed at the end, whatever happens.
        events: bytes of whole events.
    """

    media_type = "text/event-stream"

    def __init__(self, asking: Asking, events: AsyncIterator[bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"X-Accel-Buffering": "no"})
        self._asking = asking
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            try:
                async for data in self._events:
                    for part in slices(data):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
            except HomespunError as error:
                data = event(api_error(error).body)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._asking.close()
