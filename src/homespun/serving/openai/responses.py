"""`POST /v1/responses`: text in, text out, nothing kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Discriminator, Field, Tag
from starlette.responses import Response

from homespun.core import Constraint, Message, Role, Tokenizer
from homespun.serving.config import ServerConfig
from homespun.serving.errors import ApiError
from homespun.serving.http.written import WrittenResponse, written
from homespun.serving.openai.asking import ask, opened
from homespun.serving.openai.calling.thoughts import thought_reader
from homespun.serving.openai.fields import Count, Listed, Sampling, Strict, few, json_constraint
from homespun.serving.openai.messages import thoughtful
from homespun.serving.openai.outputs import Outputs
from homespun.serving.openai.prompts import chat_ids
from homespun.serving.openai.sse import STREAMED, EventStream


class InputPart(Strict):
    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class InputMessage(Strict):
    """A message; what an answer holds may be sent back as it came."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Listed[InputPart]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: None = None


class ReasoningText(Strict):
    type: Literal["reasoning_text"]
    text: str


class InputReasoning(Strict):
    """What an assistant thought before the message that follows it, as it came."""

    type: Literal["reasoning"]
    content: Listed[ReasoningText] | None = None
    summary: Annotated[list[Any], Field(max_length=0)] | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    encrypted_content: None = None


def _kind(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return "Reasoning" if kind == "reasoning" else "Message"


InputItem = Annotated[
    Annotated[InputMessage, Tag("Message")] | Annotated[InputReasoning, Tag("Reasoning")],
    Discriminator(_kind),
]


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

    input: str | Annotated[Listed[InputItem], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    text: TextOptions | None = None
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], few(16)] | None = None
    include: Annotated[Listed[Literal["message.output_text.logprobs"]], Field(max_length=1)] | (
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

    def messages(self, limits: ServerConfig, tokenizer: Tokenizer) -> list[Message]:
        """Raises ApiError where there are too many, or thoughts that have no place."""
        given = self.input
        if isinstance(given, str):
            given = [InputMessage(role="user", content=given)]
        if len(given) > limits.most_messages:
            many = f"there are {len(given)} messages, and {limits.most_messages} are the most"
            raise ApiError(400, many, param="input", code="too_many_messages")
        found: list[Message] = []
        thought = last = ""
        for at, item in enumerate(given):
            if isinstance(item, InputReasoning):
                last = f"input.{at}"
                thought += "".join(part.text for part in item.content or ())
                continue
            if thought and item.role != "assistant":  # it was cut off while it thought
                found.append(thoughtful("assistant", "", thought, tokenizer, param=last))
                thought = ""
            role: Role = "system" if item.role == "developer" else item.role
            text = item.content
            if not isinstance(text, str):
                text = "".join(part.text for part in text)
            found.append(thoughtful(role, text, thought, tokenizer, param=last))
            thought = ""
        if thought:
            found.append(thoughtful("assistant", "", thought, tokenizer, param=last))
        if self.instructions:
            found.insert(0, Message("system", self.instructions))
        return found


def _asked(body: ResponseRequest) -> dict[str, Any]:
    """What a response repeats of its request."""
    text_format: dict[str, Any] = {"type": "text"}
    if body.text is not None and body.text.format is not None:
        text_format = body.text.format.model_dump(by_alias=True, exclude_none=True)
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": text_format},
        "tool_choice": body.tool_choice or "auto",
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "metadata": body.metadata or {},
        **({} if body.user is None else {"user": body.user}),
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
        messages = body.messages(serving.config, served.tokenizer)
        prompt = await chat_ids(served, messages, param="input")
        asking = await ask(
            request, served, [prompt], settings, body.sharers, is_whole=not body.stream
        )
        outputs = Outputs(
            served,
            asking,
            thought_reader(served, prompt, is_bound=settings.constraint is not None),
            _asked(body),
            tells_logprobs=bool(body.include),
            is_padded=body.wants_padding,
        )
        if body.stream:
            return EventStream(asking, outputs.events(serving.config.heartbeat_seconds))
        try:
            (done,) = await asking.completions()
        finally:
            asking.close()
        return WrittenResponse(await written(outputs.whole(done)))

    return router
