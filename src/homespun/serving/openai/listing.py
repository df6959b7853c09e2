"""What is served, how a text is cut into tokens, and how the server is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.openai.fields import Listed, ModelName, Strict, TemplateOptions
from homespun.serving.openai.logprobs import token_text
from homespun.serving.openai.messages import ChatMessage, told
from homespun.serving.openai.prompts import chat_ids, text_ids
from homespun.serving.state import serving_of


class TokenizeRequest(Strict):
    """A text, or a conversation as the model's template writes it."""

    model: ModelName = None
    prompt: str | None = None
    messages: Annotated[Listed[ChatMessage], Field(min_length=1)] | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None


def build_router() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/models", response_model=None)
    async def models(request: Request) -> Response:
        served = serving_of(request).models.values()
        return JSONResponse({"object": "list", "data": [_model(one) for one in served]})

    @router.get("/v1/models/{model}", response_model=None)
    async def model(model: str, request: Request) -> Response:
        return JSONResponse(_model(serving_of(request).model(model)))

    @router.post("/tokenize", response_model=None)
    async def tokenize(body: TokenizeRequest, request: Request) -> Response:
        serving = serving_of(request)
        served = serving.model(body.model)
        if (body.prompt is None) == (body.messages is None):
            raise ApiError(400, "give either a prompt or messages", param="prompt")
        if body.chat_template_kwargs is not None and body.messages is None:
            raise ApiError(
                400, "chat_template_kwargs go with messages", param="chat_template_kwargs"
            )
        if body.prompt is not None:
            ids = await text_ids(served, body.prompt, param="prompt")
        else:
            messages = told(
                body.messages or [],
                most=serving.config.most_messages,
                tokenizer=served.tokenizer,
            )
            ids = await chat_ids(served, messages, options=body.chat_template_kwargs)
        found: dict[str, Any] = {
            "count": len(ids),
            "max_model_len": served.engine.window,
            "tokens": ids,
        }
        if body.return_token_strs:
            found["token_strs"] = [token_text(served, token) for token in ids]
        return JSONResponse(found)

    @router.get("/health", response_model=None)
    async def health(request: Request) -> Response:
        """The process lives and its engines work."""
        serving_of(request).worker.check_sound()
        return JSONResponse({"status": "ok"})

    @router.get("/ready", response_model=None)
    async def ready(request: Request) -> Response:
        """New requests are taken."""
        serving = serving_of(request)
        serving.check_taking()
        serving.worker.check_sound()
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", response_model=None, response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        text = serving_of(request).metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _model(served: ServedModel) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "homespun",
        "max_model_len": served.engine.window,
        "can_chat": served.can_chat,
        "can_write": served.can_write,
        "can_fill": served.blank_mark is not None,
        "rewrites": served.rewrites is not None,
    }
