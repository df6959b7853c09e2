"""`POST /v1/moderations`: what the moderator that the server was made with says of a text."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from homespun.serving.errors import ApiError
from homespun.serving.openai.fields import Listed, ModelName, Strict
from homespun.serving.openai.messages import TextPart
from homespun.serving.state import Moderation, serving_of, together

OPENAIS = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""Categories that OpenAI's clients expect. What the moderator says nothing of is told as not
flagged, and as not looked at: no type of input was applied."""


class ModerationRequest(Strict):
    """Texts to be judged, each by itself, or the parts of one."""

    input: (
        str
        | Annotated[Listed[str], Field(min_length=1)]
        | Annotated[Listed[TextPart], Field(min_length=1)]
    )
    model: ModelName = None


_AT_ONCE = 2
"""Texts that are judged: threads are few, and prompts become tokens in the same ones."""


def build_router() -> APIRouter:
    router = APIRouter()
    turn = asyncio.Semaphore(_AT_ONCE)

    @router.post("/v1/moderations", response_model=None)
    async def moderations(body: ModerationRequest, request: Request) -> Response:
        serving = serving_of(request)
        serving.check_taking()
        moderator = serving.moderator
        if moderator is None:
            raise ApiError(404, "this server has no moderator", code="no_moderator")
        given = [body.input] if isinstance(body.input, str) else body.input
        if len(given) > serving.config.most_inputs:
            told = f"there are {len(given)} inputs, and {serving.config.most_inputs} are the most"
            raise ApiError(400, told, param="input")
        texts = [part if isinstance(part, str) else part.text for part in given]
        is_one = not isinstance(given[0], str)
        found = []
        for text in texts:
            async with turn:
                found.append(await asyncio.to_thread(moderator, text))
            if await request.is_disconnected():
                raise ApiError(499, "the request was cancelled")
        answer = {
            "id": f"modr-{secrets.token_hex(12)}",
            "model": body.model or "moderator",
            "results": [_result(one) for one in ([together(found)] if is_one else found)],
        }
        return JSONResponse(answer)

    return router


def _result(found: Moderation) -> dict[str, Any]:
    names = [*found.scores, *(name for name in OPENAIS if name not in found.scores)]
    return {
        "flagged": any(found.flagged.values()),
        "categories": {name: bool(found.flagged.get(name)) for name in names},
        "category_scores": {name: found.scores.get(name, 0.0) for name in names},
        "category_applied_input_types": {
            name: ["text"] if name in found.scores else [] for name in names
        },
    }
