"""`POST /v1/chat/completions`."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from homespun.core import Completion, Constraint
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.http.written import WrittenResponse, written
from homespun.serving.openai.asking import Asking, Piece, ask, opened, usage
from homespun.serving.openai.calling.calls import CallReader
from homespun.serving.openai.calling.thoughts import (
    AnswerReader,
    Parts,
    ThoughtReader,
    thought_reader,
)
from homespun.serving.openai.calling.tools import Tool, Toolbox, ToolChoice
from homespun.serving.openai.fields import (
    Count,
    Listed,
    ResponseFormat,
    Sampling,
    TemplateOptions,
    json_constraint,
)
from homespun.serving.openai.logprobs import chat_logprobs
from homespun.serving.openai.messages import ChatMessage, told
from homespun.serving.openai.prompts import chat_ids
from homespun.serving.openai.rewriting import check_last
from homespun.serving.openai.sse import DONE, HEARTBEAT, STREAMED, EventStream, event, written_event


class ChatRequest(Sampling):
    """A conversation to be continued by the assistant."""

    messages: Annotated[Listed[ChatMessage], Field(min_length=1)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[Listed[Tool], Field(min_length=1)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None
    # Only what we do anyway.
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: Annotated[Listed[Literal["text"]], Field(min_length=1, max_length=1)] | None = None

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives a token; None for no log probabilities."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError(400, "top_logprobs go with 'logprobs': true", param="top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def most_tokens(self) -> int | None:
        old, new = self.max_tokens, self.max_completion_tokens
        if old is not None and new is not None and old != new:
            twice = "max_tokens is the old name of max_completion_tokens; give one of them"
            raise ApiError(400, twice, param="max_tokens")
        return new or old

    def toolbox(self, limits: ServerConfig) -> Toolbox | None:
        """None without tools. Raises ApiError where they cannot be offered as asked."""
        if self.parallel_tool_calls is not None and not self.tools:
            goes = "parallel_tool_calls goes with tools"
            raise ApiError(400, goes, param="parallel_tool_calls")
        if not self.tools and self.tool_choice in (None, "none"):
            return None
        return Toolbox(
            self.tools or [],
            self.tool_choice,
            parallel=self.parallel_tool_calls is not False,
            most=limits.most_tools,
        )

    def constraint(self, box: Toolbox | None) -> Constraint | None:
        """What the answer is bound to by its format or by a call it has to make."""
        form = self.response_format.schema_of_answer() if self.response_format else None
        if box is None or not box.may_call:
            return None if form is None else json_constraint(form)
        if form is None or box.must_call:
            return box.constraint()
        return box.either(form)

    @property
    def has_form(self) -> bool:
        """The answer has to have a form, where it is no call."""
        return self.response_format is not None and self.response_format.type != "text"

    def reader(self, box: Toolbox | None) -> CallReader:
        """Reads one answer."""
        is_either = self.has_form and box is not None and not box.must_call
        return CallReader(box, is_either=is_either)


class _Told:
    """What all parts of one answer say of it."""

    def __init__(
        self,
        served: ServedModel,
        body: ChatRequest,
        asking: Asking,
        box: Toolbox | None,
        thoughts: Callable[[], ThoughtReader],
    ) -> None:
        self.served = served
        self.body = body
        self.asking = asking
        self.box = box
        self._thoughts = thoughts
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def reader(self) -> AnswerReader:
        return AnswerReader(self._thoughts(), self.body.reader(self.box))

    def whole(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.served.name,
            "choices": choices,
            **more,
        }

    async def chunk(
        self,
        index: int,
        delta: dict[str, Any],
        piece: Piece | None = None,
        reason: str | None = None,
    ) -> bytes:
        logprobs = None
        if self.body.logprobs and piece is not None and piece.logprobs:
            logprobs = chat_logprobs(self.served, piece.logprobs)
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        more = {"usage": None} if self.body.wants_usage else {}
        told = self.whole("chat.completion.chunk", [choice], **more)
        return await written_event(told, padded=self.body.wants_padding)


def build_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/chat/completions", response_model=None, responses=STREAMED)
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        serving, served = opened(request, body.model)
        box = body.toolbox(serving.config)
        if served.rewrites is not None:
            check_last(served, body.messages)
        messages = told(
            body.messages,
            most=serving.config.most_messages,
            tokenizer=served.tokenizer,
        )
        settings = body.settings(
            serving.config,
            served,
            max_tokens=body.most_tokens,
            logprobs=body.num_logprobs,
            constraint=body.constraint(box),
            bound_by="response_format" if body.has_form else "tools",
        )
        prompt = await chat_ids(served, messages, box=box, options=body.chat_template_kwargs)
        asking = await ask(
            request, served, [prompt], settings, body.sharers, is_whole=not body.stream
        )
        is_bound = settings.constraint is not None
        say = _Told(
            served, body, asking, box, lambda: thought_reader(served, prompt, is_bound=is_bound)
        )
        if body.stream:
            events = _events(say, settings.num_answers, serving.config.heartbeat_seconds)
            return EventStream(asking, events)
        try:
            completions = await asking.completions()
        finally:
            asking.close()
        choices = [_choice(say, index, done) for index, done in enumerate(completions)]
        counted = usage(asking.num_prompt_tokens, completions, len(completions))
        whole = say.whole("chat.completion", choices, usage=counted)
        return WrittenResponse(await written(whole))

    return router


def _choice(say: _Told, index: int, done: Completion) -> dict[str, Any]:
    reader = say.reader()
    reasoning, text, calls = reader.read(done.text, is_last=True)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [call.value for call in calls]
    logprobs = chat_logprobs(say.served, done.logprobs or ()) if say.body.logprobs else None
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _reason(done, reader),
    }


def _reason(done: Completion, reader: AnswerReader) -> str:
    is_call = done.finish_reason == "stop" and reader.num_calls
    return "tool_calls" if is_call else done.finish_reason


def _delta(said: Parts) -> dict[str, Any]:
    delta: dict[str, Any] = {"reasoning_content": said.reasoning} if said.reasoning else {}
    if said.text:
        delta["content"] = said.text
    if said.calls:
        delta["tool_calls"] = [{"index": call.index, **call.value} for call in said.calls]
    return delta


async def _events(say: _Told, num_answers: int, heartbeat: float) -> AsyncIterator[bytes]:
    readers = {index: say.reader() for index in range(num_answers)}
    first = {"role": "assistant", "content": "", "refusal": None}
    yield b"".join([await say.chunk(index, first) for index in readers])
    completions: dict[int, Completion] = {}
    async for pieces in say.asking.pieces(heartbeat=heartbeat):
        data = b"" if pieces else HEARTBEAT
        for piece in pieces:
            reader = readers[piece.index]
            done = piece.completion
            said = reader.read(piece.text, is_last=done is not None)
            if (delta := _delta(said)) or piece.logprobs:
                data += await say.chunk(piece.index, delta or {"content": ""}, piece)
            if done is not None:
                completions[piece.index] = done
                data += await say.chunk(piece.index, {}, reason=_reason(done, reader))
        if data:
            yield data
    data = b""
    if say.body.wants_usage:
        found = [completions[index] for index in sorted(completions)]
        counted = usage(say.asking.num_prompt_tokens, found, num_answers)
        data = event(say.whole("chat.completion.chunk", [], usage=counted))
    yield data + DONE
