"""`POST /v1/embeddings`: a text as a vector, the mean of the model's last states, of length 1.

An encoder that was taught to is what search wants; the states of a decoder say less of meaning.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from homespun.serving.errors import ApiError
from homespun.serving.openai.asking import Asking, opened
from homespun.serving.openai.fields import ModelName, Strict
from homespun.serving.openai.prompts import Prompts, listed, prompt_ids


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
        vectors = [shortened(vector, body.dimensions) for vector in vectors]
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": packed(vector) if body.encoding_format == "base64" else vector,
            }
            for index, vector in enumerate(vectors)
        ]
        num = ticket.num_prompt_tokens
        counted = {"prompt_tokens": num, "total_tokens": num}
        answer = {"object": "list", "data": data, "model": served.name, "usage": counted}
        return JSONResponse(answer)

    return router


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
