"""`POST /v1/completions`: a text, or several, to be continued."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from homespun.core import Completion, SamplingSettings, TokenLogprob
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.http.written import Pieces, WrittenResponse, written
from homespun.serving.openai.asking import Asking, ask, opened, usage
from homespun.serving.openai.fields import MOST_TOKENS, Sampling
from homespun.serving.openai.logprobs import TextLog
from homespun.serving.openai.prompts import Prompts, around_blank, listed, prompt_ids
from homespun.serving.openai.sse import DONE, HEARTBEAT, STREAMED, EventStream, event, written_event

DEFAULT_TOKENS = 16
"""OpenAI's."""
MOST_TOLD = 200_000
"""Log probabilities of prompts in one request: some 10 MB of JSON."""


class CompletionRequest(Sampling):
    """Texts, or ids of tokens, to be continued."""

    prompt: Prompts
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=0, le=128)] | None = None  # 0: as many as `n`, as OpenAI's
    suffix: str | None = None  # what stands behind the answer; for models that fill blanks

    @property
    def scores_prompt(self) -> bool:
        """Log probabilities of the prompt's tokens are wanted."""
        return bool(self.echo) and self.logprobs is not None

    def most_tokens(self, served: ServedModel) -> int | None:
        """Nobody wants sixteen tokens of a translation who does not say so."""
        if self.max_tokens is None:
            return DEFAULT_TOKENS if served.rewrites is None else None
        return max(1, self.max_tokens)

    def check_told(self, prompts: Sequence[Sequence[int]]) -> None:
        """Raises ApiError where more is to be told of the prompts than is sent at once."""
        num = sum(map(len, prompts)) * (1 + (self.logprobs or 0))
        num *= max(self.n or 1, self.best_of or 1)
        if self.scores_prompt and num > MOST_TOLD:
            told = f"echo with logprobs would tell {num} log probabilities of the prompts, and "
            raise ApiError(400, f"{told}{MOST_TOLD} are the most; send fewer", param="prompt")

    def check(self, limits: ServerConfig) -> None:
        """Raises ApiError where fields contradict each other, or there are too many prompts."""
        many = len(listed(self.prompt))
        answers = max(self.n or 1, self.best_of or 1)
        if many * answers > limits.most_inputs:
            told = f"{many} prompts with {answers} answers each are more than {limits.most_inputs}"
            raise ApiError(400, told, param="prompt")
        if self.best_of and self.best_of < (self.n or 1):
            raise ApiError(400, "best_of must not be less than n", param="best_of")
        if self.stream and (self.best_of or 0) > (self.n or 1):
            told = "the best of several is known only at the end; it cannot be streamed"
            raise ApiError(400, told, param="best_of")
        if self.suffix and self.echo:
            told = "echo is of a text that goes on, and with a suffix it is filled; leave one out"
            raise ApiError(400, told, param="echo")


class _Told:
    """What all parts of one answer say of it.

    Args:
        prompts: ids, to be told again with `echo`.
        num_prompt_tokens: that are read.
    """

    def __init__(
        self,
        served: ServedModel,
        body: CompletionRequest,
        prompts: Sequence[Sequence[int]],
        num_prompt_tokens: int,
    ) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.num_answers = body.n or 1
        self.wants_usage = body.wants_usage
        self.wants_padding = body.wants_padding
        self.served = served
        self._body = body
        self.prompts = prompts
        self._logs: dict[int, TextLog] = {}
        self.scores_prompt = body.scores_prompt
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    @property
    def num_choices(self) -> int:
        return len(self.prompts) * self.num_answers

    def echoed(self, index: int) -> str:
        if not self._body.echo:
            return ""
        return self.served.tokenizer.decode(self.prompts[index // self.num_answers])

    def whole(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self.served.name,
            "choices": choices,
            **more,
        }

    def choice(
        self,
        index: int,
        text: str,
        logprobs: dict[str, Any] | Pieces | None,
        reason: str | None,
    ) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def logprobs(
        self,
        index: int,
        found: Sequence[TokenLogprob] | None,
        of_prompt: Sequence[TokenLogprob] | None = None,
    ) -> dict[str, Any] | Pieces | None:
        """What is told of the next tokens of a text, and before them of its prompt; None where
        nobody asked.

        Args:
            of_prompt: None where the prompt was told before, or is not to be told.
        """
        if self._body.logprobs is None or found is None:
            return None
        log = self._logs.setdefault(index, TextLog(self.served))
        if of_prompt is None:
            return log.told(found)
        prompt = self.prompts[index // self.num_answers]
        return log.told(found, prompt_ids=prompt, of_prompt=of_prompt, text=self.echoed(index))


def build_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions", response_model=None, responses=STREAMED)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        serving, served = opened(request, body.model)
        body.check(serving.config)
        prompts = await prompt_ids(served, body.prompt, param="prompt")
        asked = await around_blank(served, prompts, body.suffix or "")
        settings = body.settings(
            serving.config,
            served,
            max_tokens=body.most_tokens(served),
            logprobs=body.logprobs,
            best_of=body.best_of or 0,
        )
        body.check_told(prompts)
        say = _Told(served, body, prompts, sum(map(len, asked)))
        if body.scores_prompt:
            # Where one token is asked for it is told of even if it ends the text: programs that
            # score prompts, as lm-eval does, count on one token behind them.
            is_one = settings.max_tokens == 1
            settings = replace(
                settings, prompt_logprobs=True, ignore_end=settings.ignore_end or is_one
            )
        if body.max_tokens == 0:
            return await _nothing_written(request, say, settings, body)
        asking = await ask(request, served, asked, settings, body.sharers, is_whole=not body.stream)
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
                say.logprobs(index, done.logprobs, done.prompt_logprobs),
                done.finish_reason,
            )
            for index, done in enumerate(found)
        ]
        counted = usage(say.num_prompt_tokens, found, say.num_answers)
        return WrittenResponse(await written(say.whole(choices, usage=counted)))

    return router


async def _nothing_written(
    request: Request, say: _Told, settings: SamplingSettings, body: CompletionRequest
) -> Response:
    """Answers of no tokens: the prompts alone where they are to be told again."""
    logs: list[dict[str, Any] | Pieces | None] = [None] * say.num_choices
    if body.scores_prompt:
        # The engine writes one token at least, of which nothing is told.
        one = replace(settings, num_answers=1, best_of=0)
        asking = await ask(request, say.served, say.prompts, one, body.sharers, is_whole=True)
        try:
            found = await asking.completions()
        finally:
            asking.close()
        scores = [done.prompt_logprobs for done in found for _ in range(say.num_answers)]
        logs = [say.logprobs(index, (), each) for index, each in enumerate(scores)]
    choices = [say.choice(n, say.echoed(n), log, "length") for n, log in enumerate(logs)]
    counted = usage(say.num_prompt_tokens, [])
    if not body.stream:
        return WrittenResponse(await written(say.whole(choices, usage=counted)))
    more = {"usage": None} if say.wants_usage else {}
    data = [
        await written_event(say.whole([one], **more), padded=say.wants_padding) for one in choices
    ]
    if say.wants_usage:
        data.append(event(say.whole([], usage=counted)))
    return WrittenResponse(b"".join([*data, DONE]), media_type=EventStream.media_type)


async def _events(say: _Told, asking: Asking, heartbeat: float) -> AsyncIterator[bytes]:
    done: dict[int, Completion] = {}
    begun: set[int] = set()
    more = {"usage": None} if say.wants_usage else {}
    async for pieces in asking.pieces(heartbeat=heartbeat):
        data = b"" if pieces else HEARTBEAT
        for piece in pieces:
            is_first = piece.index not in begun
            begun.add(piece.index)
            text = say.echoed(piece.index) + piece.text if is_first else piece.text
            reason = None
            if piece.completion is not None:
                done[piece.index] = piece.completion
                reason = piece.completion.finish_reason
            of_prompt = piece.prompt_logprobs if is_first and say.scores_prompt else None
            if text or piece.logprobs or of_prompt is not None or reason:
                has_news = piece.logprobs or of_prompt is not None
                new = piece.logprobs if has_news else None
                logprobs = say.logprobs(piece.index, new, of_prompt)
                choice = say.choice(piece.index, text, logprobs, reason)
                told = say.whole([choice], **more)
                data += await written_event(told, padded=say.wants_padding)
        if data:
            yield data
    data = b""
    if say.wants_usage:
        found = [done[index] for index in sorted(done)]
        counted = usage(say.num_prompt_tokens, found, say.num_answers)
        data = event(say.whole([], usage=counted))
    yield data + DONE
