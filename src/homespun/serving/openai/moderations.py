"""`POST /v1/moderations`: what the moderator that the server was made with says of a text."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from homespun.serving.errors import ApiError
from homespun.serving.openai.fields import Strict
from homespun.serving.openai.messages import TextPart
from homespun.serving.state import Moderation, serving_of


class ModerationRequest(Strict):
    """Texts to be judged."""

    input: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[TextPart], Field(min_length=1)]
    )
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None


def build_router() -> APIRouter:
    router = APIRouter()

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
        found = [await asyncio.to_thread(moderator, text) for text in texts]
        answer = {
            "id": f"modr-{secrets.token_hex(12)}",
            "model": body.model or "moderator",
            "results": [_result(one) for one in found],
        }
        return JSONResponse(answer)

    return router


def _result(found: Moderation) -> dict[str, Any]:
    return {
        "flagged": any(found.flagged.values()),
        "categories": dict(found.flagged),
        "category_scores": dict(found.scores),
        "category_applied_input_types": {name: ["text"] for name in found.scores},
    }
