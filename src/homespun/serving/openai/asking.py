"""From a checked request to its answers, whole or as they come, and to their end when nobody wants
them any more."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.types import Receive

from homespun.core import Completion, SamplingSettings, TokenLogprob
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.state import Serving, caller_of, serving_of
from homespun.serving.tickets import Ticket
from homespun.serving.worker import EngineWorker


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of an answer.

    Attributes:
        index: of the answer, counted over all prompts.
        text, token_ids, logprobs: new ones.
        completion: the answer as a whole, with its last piece.
        prompt_logprobs: of the prompt's tokens but the first, with the first piece.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    completion: Completion | None
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


class Asking:
    """The answers to one or several prompts of one request.

    It watches the connection: where the client goes away, everything is cancelled, whether anybody
    reads the answer at the moment or not.

    Args:
        worker: computes.
        tickets: one a prompt, with the same `something`.
        num_answers: to each prompt.
        receive: tells that the client is gone.
    """

    def __init__(
        self, worker: EngineWorker, tickets: Sequence[Ticket], num_answers: int, receive: Receive
    ) -> None:
        self._worker = worker
        self._tickets = list(tickets)
        self._num_answers = num_answers
        self._something = tickets[0].something
        self._watch = asyncio.create_task(self._cancel_when_gone(receive))

    @property
    def num_prompt_tokens(self) -> int:
        return sum(ticket.num_prompt_tokens for ticket in self._tickets)

    async def begun(self) -> None:
        """Waits until the engine has taken everything. Raises what it refused it with."""
        while not all(ticket.has_begun for ticket in self._tickets):
            self._something.clear()
            for ticket in self._tickets:
                if ticket.has_ended and not ticket.has_begun:
                    ticket.take()
            await self._something.wait()

    async def pieces(self, *, heartbeat: float = 0) -> AsyncIterator[list[Piece]]:
        """What comes, all that has come at once; nothing where `heartbeat` seconds have passed.

        Raises:
            HomespunError: there is no answer.
        """
        while True:
            self._something.clear()
            ended = all(ticket.has_ended for ticket in self._tickets)
            news = [piece for at in range(len(self._tickets)) for piece in self._news(at)]
            if news:
                yield news
            elif ended:
                return
            elif not await self._waited(heartbeat):
                yield []

    async def completions(self) -> list[Completion]:
        """All answers, in order. Nothing wakes it for pieces of them.

        Raises:
            HomespunError: there is no answer.
        """
        for ticket in self._tickets:
            ticket.is_whole = True
        found: dict[int, list[Completion]] = {}
        while True:
            self._something.clear()
            for at, ticket in enumerate(self._tickets):
                if ticket.has_ended and at not in found:
                    found[at] = ticket.completions()
            if len(found) == len(self._tickets):
                break
            await self._something.wait()
        await self._worker.turnstile.wait()
        return [done for at in sorted(found) for done in found[at]]

    def close(self) -> None:
        """Whatever has not ended is not wanted any more."""
        self._watch.cancel()
        for ticket in self._tickets:
            self._worker.cancel(ticket)

    def _news(self, at: int) -> list[Piece]:
        """New pieces of one prompt, one an answer: a slow reader gets fewer, longer ones."""
        merged: dict[int, Piece] = {}
        for output in self._tickets[at].take():
            index = at * self._num_answers + output.answer
            before = merged.get(index)
            merged[index] = Piece(
                index,
                output.text if before is None else before.text + output.text,
                output.token_ids if before is None else before.token_ids + output.token_ids,
                output.logprobs if before is None else before.logprobs + output.logprobs,
                output.completion,
                output.prompt_logprobs if before is None else before.prompt_logprobs,
            )
        return list(merged.values())

    async def _waited(self, seconds: float) -> bool:
        """Whether something came in time."""
        try:
            async with asyncio.timeout(seconds or None):
                await self._something.wait()
        except TimeoutError:
            return False
        return True

    async def _cancel_when_gone(self, receive: Receive) -> None:
        await gone(receive)
        for ticket in self._tickets:
            self._worker.cancel(ticket)


async def gone(receive: Receive) -> None:
    """Waits until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def ask(
    request: Request,
    served: ServedModel,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    sharers: Sequence[str | None] = (),
    *,
    is_whole: bool,
) -> Asking:
    """Hand prompts to the worker.

    Args:
        is_whole: they are answered at once, by `Asking.completions`, and not in pieces.

    Raises:
        RequestError: one cannot be answered, and none is. ApiError: there is no room now.
    """
    serving = serving_of(request)
    salt = salt_of(request, sharers)
    tickets = serving.worker.submit(
        served.name,
        prompts,
        settings,
        salt=salt,
        is_whole=is_whole,
        something=asyncio.Event(),
    )
    asking = Asking(serving.worker, tickets, settings.num_answers, request.receive)
    try:
        await asking.begun()
    except BaseException:
        asking.close()
        raise
    return asking


def salt_of(request: Request, sharers: Sequence[str | None]) -> bytes:
    """What parts the remembered prompts of this key, and of whom it asks for, from all others."""
    salt = caller_of(request).salt
    if not any(sharers):
        return salt
    return hashlib.sha256(salt + json.dumps(list(sharers)).encode()).digest()


def opened(
    request: Request, model: str | None, *, writes: bool = True
) -> tuple[Serving, ServedModel]:
    """The server and the model of a request, where it takes any at the moment.

    Args:
        writes: the model is to write something.
    """
    serving = serving_of(request)
    serving.check_taking()
    served = serving.model(model)
    if writes and not served.can_write:
        raise ApiError(
            400,
            f"'{served.name}' makes vectors of texts and writes nothing; ask /v1/embeddings",
            param="model",
            code="model_cannot_write",
        )
    serving.worker.check_room(served.name)  # before anything is read or rendered
    return serving, served


def usage(
    num_prompt_tokens: int, completions: Sequence[Completion], num_answers: int = 1
) -> dict[str, Any]:
    """OpenAI's count of tokens. A prompt counts once, however many answers it gets."""
    num_written = sum(len(done.token_ids) for done in completions)
    cached = sum(done.num_cached_tokens for done in completions[::num_answers])
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_written,
        "total_tokens": num_prompt_tokens + num_written,
        "prompt_tokens_details": {"cached_tokens": min(cached, num_prompt_tokens)},
    }
