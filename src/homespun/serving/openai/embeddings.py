"""`POST /v1/embeddings`: a text as a vector, the mean of the model's last states, of length 1.

An encoder that was taught to is what search wants; the states of a decoder say less of meaning.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from homespun.serving.errors import ApiError
from homespun.serving.openai.asking import Asking, opened
from homespun.serving.openai.fields import ModelName, Strict
from homespun.serving.openai.prompts import Prompts, listed, prompt_ids

_AT_ONCE = 32
"""Vectors that are written before others have their turn: some milliseconds."""


class EmbeddingRequest(Strict):
    """Texts, or ids of tokens."""

    model: ModelName = None
    input: Prompts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: Annotated[str, Field(max_length=256)] | None = None


def build_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/embeddings", response_model=None)
    async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
        serving, served = opened(request, body.model, writes=False)
        most = serving.config.most_texts
        if len(listed(body.input)) > most:
            told = f"there are {len(listed(body.input))} inputs, and {most} are the most"
            raise ApiError(400, told, param="input")
        if body.dimensions is not None and body.dimensions > served.engine.width:
            told = f"embeddings of '{served.name}' have {served.engine.width} dimensions at most"
            raise ApiError(400, told, param="dimensions")
        prompts = await prompt_ids(served, body.input, param="input")
        ticket, vectors = serving.worker.embed(served.name, prompts)
        asking = Asking(serving.worker, [ticket], 1, request.receive)
        try:
            await asking.completions()
        finally:
            asking.close()
        data = [part async for part in _written(vectors, body)]
        num = ticket.num_prompt_tokens
        counted = {"prompt_tokens": num, "total_tokens": num}
        rest = json.dumps({"object": "list", "model": served.name, "usage": counted})
        whole = rest[:-1].encode() + b', "data": [' + b", ".join(data) + b"]}"
        return Response(whole, media_type="application/json")

    return router


async def _written(
    vectors: Sequence[Sequence[float]], body: EmbeddingRequest
) -> AsyncIterator[bytes]:
    """Each vector as JSON. Writing thousands at once would keep streams of others waiting."""
    for index, vector in enumerate(vectors):
        if index % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        short = shortened(vector, body.dimensions)
        told = packed(short) if body.encoding_format == "base64" else short
        part = {"object": "embedding", "index": index, "embedding": told}
        yield json.dumps(part).encode()


def shortened(vector: Sequence[float], dimensions: int | None) -> list[float]:
    """The first dimensions alone, of length 1 again, as OpenAI shortens its own."""
    if dimensions is None or dimensions == len(vector):
        return list(vector)
    first = vector[:dimensions]
    length = math.hypot(*first) or 1.0
    return [value / length for value in first]


def packed(vector: Sequence[float]) -> str:
    """Little-endian float32 in base64, what OpenAI's own client asks for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
