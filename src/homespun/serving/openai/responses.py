"""`POST /v1/responses`: text in, text out, nothing kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from homespun.core import Completion, Constraint, HomespunError, Message, Role, TokenLogprob
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError, api_error
from homespun.serving.http.written import WrittenResponse, written
from homespun.serving.openai.asking import Asking, Piece, ask, opened, usage
from homespun.serving.openai.fields import Count, Sampling, Strict, json_constraint
from homespun.serving.openai.logprobs import response_logprobs
from homespun.serving.openai.prompts import chat_ids
from homespun.serving.openai.sse import HEARTBEAT, STREAMED, EventStream, written_event


class InputPart(Strict):
    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class InputMessage(Strict):
    """A message; what an answer holds may be sent back as it came."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputPart]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: None = None


class TextFormat(Strict):
    """As `response_format` of chat, but flat."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None

    def constraint(self) -> Constraint | None:
        """Raises ApiError where the schema is missing, or there is one nobody asked for."""
        if (self.schema_ is not None) != (self.type == "json_schema"):
            goes = "a schema goes with the type 'json_schema', and the type with a schema"
            raise ApiError(400, goes, param="text.format.schema")
        for field in ("name", "description", "strict"):
            if self.type != "json_schema" and getattr(self, field) is not None:
                told = f"{field} goes with the type 'json_schema'"
                raise ApiError(400, told, param=f"text.format.{field}")
        if self.type == "json_object":
            return json_constraint({"type": "object"})
        return None if self.schema_ is None else json_constraint(self.schema_)


class TextOptions(Strict):
    format: TextFormat | None = None


class ResponseRequest(Sampling):
    """An input, text or messages, to be answered."""

    input: str | Annotated[list[InputMessage], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    text: TextOptions | None = None
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | (
        None
    ) = None
    include: Annotated[list[Literal["message.output_text.logprobs"]], Field(max_length=1)] | (
        None
    ) = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    # Only what we do anyway.
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    store: Literal[False] | None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    previous_response_id: None = None
    n: None = None

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives a token; None for no log probabilities."""
        if self.top_logprobs is not None and not self.include:
            goes = "top_logprobs go with 'include': ['message.output_text.logprobs']"
            raise ApiError(400, goes, param="top_logprobs")
        return (self.top_logprobs or 0) if self.include else None

    def messages(self, limits: ServerConfig) -> list[Message]:
        """Raises ApiError where there are too many."""
        given = self.input
        if isinstance(given, str):
            given = [InputMessage(role="user", content=given)]
        if len(given) > limits.most_messages:
            many = f"there are {len(given)} messages, and {limits.most_messages} are the most"
            raise ApiError(400, many, param="input")
        found = [_message(message) for message in given]
        if self.instructions:
            found.insert(0, Message("system", self.instructions))
        return found


def _message(message: InputMessage) -> Message:
    role: Role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role, message.content)
    return Message(role, "".join(part.text for part in message.content))


class _Told:
    """One answer as it grows, and its events."""

    def __init__(self, served: ServedModel, body: ResponseRequest, asking: Asking) -> None:
        self.asking = asking
        self._served = served
        self._body = body
        self._id = f"resp_{secrets.token_hex(16)}"
        self._item_id = f"msg_{secrets.token_hex(16)}"
        self._created = int(time.time())
        self._number = 0
        self.tells_logprobs = bool(body.include)

    def whole(
        self, status: str, done: Completion | None = None, error: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = self._body
        text_format = {"type": "text"}
        if body.text is not None and body.text.format is not None:
            text_format = body.text.format.model_dump(by_alias=True, exclude_none=True)
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"}
            if status == "incomplete"
            else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._served.name,
            "output": [] if done is None else [self.item(status, done)],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": {"format": text_format},
            "tool_choice": body.tool_choice or "auto",
            "tools": [],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "safety_identifier": body.safety_identifier,
            "prompt_cache_key": body.prompt_cache_key,
            "metadata": body.metadata or {},
            **({} if body.user is None else {"user": body.user}),
            **({} if done is None else {"usage": self._usage(done)}),
        }

    def item(self, status: str, done: Completion | None) -> dict[str, Any]:
        return {
            "id": self._item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [] if done is None else [self.part(done)],
        }

    def part(self, done: Completion | None) -> dict[str, Any]:
        text = "" if done is None else done.text
        told = self.logprobs(() if done is None else done.logprobs or ())
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": told}

    def logprobs(self, found: Sequence[TokenLogprob]) -> Any:
        """As chat answers have them, where they are asked for."""
        return response_logprobs(self._served, found) if self._body.include else []

    async def event(self, name: str, *, padded: bool = False, **more: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        value = {"type": name, "sequence_number": number, **more}
        return await written_event(value, name=name, padded=padded)

    async def content_event(self, name: str, *, padded: bool = False, **more: Any) -> bytes:
        place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        return await self.event(name, padded=padded, **place, **more)

    async def delta(self, piece: Piece) -> bytes:
        return await self.content_event(
            "response.output_text.delta",
            padded=self._body.wants_padding,
            delta=piece.text,
            logprobs=self.logprobs(piece.logprobs),
        )

    def _usage(self, done: Completion) -> dict[str, Any]:
        counted = usage(self.asking.num_prompt_tokens, [done])
        return {
            "input_tokens": counted["prompt_tokens"],
            "input_tokens_details": {**counted["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": counted["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counted["total_tokens"],
        }


def build_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/responses", response_model=None, responses=STREAMED)
    async def responses(body: ResponseRequest, request: Request) -> Response:
        serving, served = opened(request, body.model)
        if body.wants_usage:
            told = "an answer's last event always tells its usage here; leave include_usage out"
            raise ApiError(400, told, param="stream_options.include_usage")
        form = None if body.text is None else body.text.format
        settings = body.settings(
            serving.config,
            served,
            max_tokens=body.max_output_tokens,
            logprobs=body.num_logprobs,
            constraint=None if form is None else form.constraint(),
            bound_by="text.format",
        )
        prompt = await chat_ids(served, body.messages(serving.config), param="input")
        asking = await ask(
            request, served, [prompt], settings, body.sharers, is_whole=not body.stream
        )
        say = _Told(served, body, asking)
        if body.stream:
            return EventStream(asking, _events(say, serving.config.heartbeat_seconds))
        try:
            (done,) = await asking.completions()
        finally:
            asking.close()
        return WrittenResponse(await written(say.whole(_status(done), done)))

    return router


def _status(done: Completion) -> str:
    return "incomplete" if done.finish_reason == "length" else "completed"


async def _events(say: _Told, heartbeat: float) -> AsyncIterator[bytes]:
    started = say.whole("in_progress")
    yield b"".join(
        [
            await say.event("response.created", response=started),
            await say.event("response.in_progress", response=started),
            await say.event(
                "response.output_item.added", output_index=0, item=say.item("in_progress", None)
            ),
            await say.content_event("response.content_part.added", part=say.part(None)),
        ]
    )
    done: Completion | None = None
    try:
        async for pieces in say.asking.pieces(heartbeat=heartbeat):
            data = b"" if pieces else HEARTBEAT
            for piece in pieces:
                if piece.text or (piece.logprobs and say.tells_logprobs):
                    data += await say.delta(piece)
                done = piece.completion or done
            if data:
                yield data
    except HomespunError as error:
        told = api_error(error).body["error"]
        failed = {"code": "server_error", "message": told["message"]}
        yield await say.event("response.failed", response=say.whole("failed", error=failed))
        return
    assert done is not None
    status = _status(done)
    logprobs = say.logprobs(done.logprobs or ())
    yield await say.content_event("response.output_text.done", text=done.text, logprobs=logprobs)
    yield await say.content_event("response.content_part.done", part=say.part(done))
    item = say.item(status, done)
    yield await say.event("response.output_item.done", output_index=0, item=item)
    yield await say.event(f"response.{status}", response=say.whole(status, done))
