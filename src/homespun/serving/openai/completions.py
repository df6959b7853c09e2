"""`POST /v1/completions`: a text, or several, to be continued."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from homespun.core import Completion, TokenLogprob
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.openai.asking import Asking, ask, opened, usage
from homespun.serving.openai.fields import MOST_TOKENS, Sampling
from homespun.serving.openai.logprobs import text_logprobs
from homespun.serving.openai.prompts import Prompts, listed, prompt_ids
from homespun.serving.openai.sse import DONE, HEARTBEAT, STREAMED, EventStream, event

DEFAULT_TOKENS = 16
"""OpenAI's."""


class CompletionRequest(Sampling):
    """Texts, or ids of tokens, to be continued."""

    prompt: Prompts
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=0, le=128)] | None = None  # 0: as many as `n`, as OpenAI's
    suffix: None = None

    def check(self, limits: ServerConfig) -> None:
        """Raises ApiError where fields contradict each other, or there are too many prompts."""
        many = len(listed(self.prompt))
        answers = max(self.n or 1, self.best_of or 1)
        if many * answers > limits.most_inputs:
            told = f"{many} prompts with {answers} answers each are more than {limits.most_inputs}"
            raise ApiError(400, told, param="prompt")
        if self.echo and self.logprobs is not None:
            told = "log probabilities of the prompt are not computed: echo and logprobs exclude "
            raise ApiError(400, told + "each other", param="echo")
        if self.best_of and self.best_of < (self.n or 1):
            raise ApiError(400, "best_of must not be less than n", param="best_of")
        if self.stream and (self.best_of or 0) > (self.n or 1):
            told = "the best of several is known only at the end; it cannot be streamed"
            raise ApiError(400, told, param="best_of")


class _Told:
    """What all parts of one answer say of it.

    Args:
        prompts: ids, to be told again with `echo`.
    """

    def __init__(
        self,
        served: ServedModel,
        body: CompletionRequest,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        self.num_answers = body.n or 1
        self.wants_usage = body.wants_usage
        self.wants_padding = body.wants_padding
        self._served = served
        self._body = body
        self._prompts = prompts
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    @property
    def num_choices(self) -> int:
        return len(self._prompts) * self.num_answers

    @property
    def num_prompt_tokens(self) -> int:
        return sum(map(len, self._prompts))

    def echoed(self, index: int) -> str:
        if not self._body.echo:
            return ""
        return self._served.tokenizer.decode(self._prompts[index // self.num_answers])

    def whole(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._served.name,
            "choices": choices,
            "system_fingerprint": None,
            **more,
        }

    def choice(
        self,
        index: int,
        text: str,
        logprobs: Sequence[TokenLogprob] | None,
        start: int,
        reason: str | None,
    ) -> dict[str, Any]:
        told = None
        if self._body.logprobs is not None and logprobs is not None:
            told = text_logprobs(self._served, logprobs, start=start)
        return {"index": index, "text": text, "logprobs": told, "finish_reason": reason}


def build_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions", response_model=None, responses=STREAMED)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        serving, served = opened(request, body.model)
        body.check(serving.config)
        prompts = await prompt_ids(served, body.prompt, param="prompt")
        settings = body.settings(
            serving.config,
            served,
            max_tokens=DEFAULT_TOKENS if body.max_tokens is None else max(1, body.max_tokens),
            logprobs=body.logprobs,
            best_of=body.best_of or 0,
        )
        say = _Told(served, body, prompts)
        if body.max_tokens == 0:
            return _nothing_written(say, is_stream=bool(body.stream))
        asking = await ask(request, served, prompts, settings, body.sharers)
        if body.stream:
            events = _events(say, asking, serving.config.heartbeat_seconds)
            return EventStream(asking, events)
        try:
            found = await asking.completions()
        finally:
            asking.close()
        choices = [
            say.choice(
                index,
                say.echoed(index) + done.text,
                done.logprobs,
                0,
                done.finish_reason,
            )
            for index, done in enumerate(found)
        ]
        counted = usage(say.num_prompt_tokens, found, say.num_answers)
        return JSONResponse(say.whole(choices, usage=counted))

    return router


def _nothing_written(say: _Told, *, is_stream: bool) -> Response:
    """Answers of no tokens: the prompts alone where they are to be told again."""
    choices = [say.choice(n, say.echoed(n), None, 0, "length") for n in range(say.num_choices)]
    counted = usage(say.num_prompt_tokens, [])
    if not is_stream:
        return JSONResponse(say.whole(choices, usage=counted))
    more = {"usage": None} if say.wants_usage else {}
    data = b"".join(event(say.whole([one], **more), padded=say.wants_padding) for one in choices)
    if say.wants_usage:
        data += event(say.whole([], usage=counted))
    return Response(data + DONE, media_type=EventStream.media_type)


async def _events(say: _Told, asking: Asking, heartbeat: float) -> AsyncIterator[bytes]:
    done: dict[int, Completion] = {}
    starts: dict[int, int] = {}
    more = {"usage": None} if say.wants_usage else {}
    async for pieces in asking.pieces(heartbeat=heartbeat):
        data = b"" if pieces else HEARTBEAT
        for piece in pieces:
            text = piece.text if piece.index in starts else say.echoed(piece.index) + piece.text
            start = starts.setdefault(piece.index, 0)
            reason = None
            if piece.completion is not None:
                done[piece.index] = piece.completion
                reason = piece.completion.finish_reason
            logprobs = piece.logprobs or None
            if text or logprobs or reason:
                choice = say.choice(piece.index, text, logprobs, start, reason)
                data += event(say.whole([choice], **more), padded=say.wants_padding)
                if choice["logprobs"]:
                    starts[piece.index] += sum(map(len, choice["logprobs"]["tokens"]))
        if data:
            yield data
    data = b""
    if say.wants_usage:
        found = [done[index] for index in sorted(done)]
        counted = usage(say.num_prompt_tokens, found, say.num_answers)
        data = event(say.whole([], usage=counted))
    yield data + DONE
