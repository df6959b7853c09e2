"""The event loop's side of computing: who may ask, who waits, what came for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from homespun.core import SamplingSettings
from homespun.serving.computing import Ask, Desk, Drop, Embed, Ended, News, Numbers, Said
from homespun.serving.engine import EngineFacts
from homespun.serving.errors import ApiError, busy, stopping
from homespun.serving.tickets import Ticket, Watcher
from homespun.serving.turnstile import Turnstile


class EngineWorker:
    """Hands requests to a desk, and what comes of them to those who wait. All of it is called on
    the event loop, and never waits for a step.

    Args:
        engines: by the name of their model.
        desk: computes for these names.
        most_waiting: requests of one model at once, running ones included.
        queue_windows: tokens that may be asked for at once, in caches full.
        expected_answer: tokens an answer counts with at most: few become as long as they may.
        retry_seconds: what a refusal says of when to come again.
        watcher: is told what comes out.

    Attributes:
        broken: models that failed; they take no requests until they are mended.
        turnstile: what whole answers and new requests pass, a few in each round of the loop.
    """

    def __init__(
        self,
        engines: Mapping[str, EngineFacts],
        desk: Desk,
        *,
        most_waiting: int = 512,
        queue_windows: float = 4.0,
        expected_answer: int = 1024,
        retry_seconds: int = 2,
        watcher: Watcher | None = None,
    ) -> None:
        self._engines = dict(engines)
        self._desk = desk
        self._most_waiting = most_waiting
        self._queue_windows, self._expected = queue_windows, expected_answer
        self._retry_seconds = retry_seconds
        self._watcher = watcher
        self._tickets: dict[int, Ticket] = {}  # of which the desk has not said the last word
        self._vectors: dict[int, list[list[float]]] = {}
        self._next = 0
        self._open: dict[str, set[Ticket]] = {name: set() for name in engines}
        self._cost = dict.fromkeys(engines, 0)
        self._numbers = dict.fromkeys(engines, Numbers())
        self.broken: set[str] = set()
        self.turnstile = Turnstile()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        def listen(news: News) -> None:
            loop.call_soon_threadsafe(self._on_news, news)

        self._desk.start(listen)

    def stop(self) -> None:
        """End after the step under way. Answers that are not complete get an error."""
        self.end_all()
        self._desk.stop()

    def end_all(self) -> None:
        """Answers that are not complete end with an error; the engine lets go of them."""
        for ticket in self.open_tickets:
            self._finish(ticket, stopping())
            self._drop(ticket)

    @property
    def is_alive(self) -> bool:
        return self._desk.is_alive

    @property
    def open_tickets(self) -> list[Ticket]:
        return [ticket for tickets in self._open.values() for ticket in tickets]

    @property
    def num_restarts(self) -> int:
        """How often what computes was begun anew."""
        return self._desk.num_restarts

    def check_sound(self) -> None:
        """Raises ApiError where a model cannot answer, and says whether it will again."""
        if self.broken or not self.is_alive:
            why = self._desk.given_up
            told = f"{why}; it is not started again" if why else "an engine has failed"
            raise self._unavailable(told)

    def num_open(self, model: str) -> int:
        return len(self._open[model])

    def numbers(self, model: str) -> Numbers:
        """What the engine told of itself when it last did anything."""
        return self._numbers[model]

    def check_room(self, model: str, cost: int = 0, num: int = 1) -> None:
        """Raises ApiError as `refusal` tells."""
        if (error := self.refusal(model, cost, num)) is not None:
            raise error

    def refusal(self, model: str, cost: int = 0, num: int = 1) -> ApiError | None:
        """Why a request of `num` prompts and this cost cannot be taken now; None where it can. One
        alone always can: coming again would not help it."""
        if model in self.broken or not self.is_alive:
            return self._unavailable("the model cannot answer at the moment")
        most = self._queue_windows * self._engines[model].kv_capacity
        many = len(self._open[model]) + num > self._most_waiting
        if self._open[model] and (many or self._cost[model] + cost > most):
            return self.too_many()
        return None

    def too_many(self) -> ApiError:
        told = "too many requests are waiting; try again later"
        return busy(told, retry_seconds=self._retry_seconds)

    def submit(
        self,
        model: str,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        *,
        salt: bytes,
        is_whole: bool = False,
        something: asyncio.Event | None = None,
    ) -> list[Ticket]:
        """Take a request of one prompt or several, all of them or none. `something` is the event
        their tickets set. Where one cannot be answered, its ticket ends with the error that says
        why before it has begun.

        Args:
            is_whole: nobody wants to be told of pieces before the end.

        Raises:
            ApiError: there is no room for it now.
        """
        rows = max(settings.num_answers, settings.best_of, settings.beams)
        window, written = self._engines[model].window, min(settings.max_tokens, self._expected)
        costs = [rows * min(window, len(prompt) + written) for prompt in prompts]
        self.check_room(model, sum(costs), len(prompts))
        tickets: list[Ticket] = []
        try:
            for prompt, cost in zip(prompts, costs, strict=True):
                tickets.append(ticket := self._opened(model, cost, len(prompt), something))
                ticket.is_whole = is_whole
                self._put(ticket, Ask(ticket.number, model, prompt, settings, salt, is_whole))
        except BaseException:
            for ticket in tickets:
                self.cancel(ticket)
            raise
        return tickets

    def embed(
        self, model: str, prompts: Sequence[Sequence[int]]
    ) -> tuple[Ticket, list[list[float]]]:
        """One vector for each prompt, computed between the steps of others. The list is filled when
        the ticket has ended.

        Raises:
            ApiError: there is no room for it now.
        """
        cost = sum(map(len, prompts))
        self.check_room(model, cost)
        ticket = self._opened(model, cost, cost)
        vectors = self._vectors[ticket.number] = []
        self._put(ticket, Embed(ticket.number, model, prompts))
        return ticket, vectors

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants more of it. Its place in the engine is free after the step under way."""
        if not ticket.has_ended and not ticket.is_cancelled:
            self._drop(ticket)

    def _unavailable(self, told: str, *, code: str = "model_unavailable") -> ApiError:
        """What is told of a model that failed: to come again where it will be there again."""
        if self._desk.given_up:
            return ApiError(503, told, code=code)
        told = f"{told}; it is being started again"
        return busy(told, retry_seconds=self._retry_seconds, status=503, code=code)

    def _put(self, ticket: Ticket, work: Ask | Embed) -> None:
        try:
            self._desk.put(work)
        except BaseException:  # nobody will ever tell of it
            self._end(Ended(ticket.number, is_fault=True))
            raise

    def _drop(self, ticket: Ticket) -> None:
        ticket.is_cancelled = True
        self._desk.put(Drop(ticket.number))

    def _opened(
        self, model: str, cost: int, num_tokens: int, something: asyncio.Event | None = None
    ) -> Ticket:
        self._next += 1
        ticket = Ticket(self._next, model, cost, num_tokens, something)
        self._tickets[ticket.number] = ticket
        self._open[model].add(ticket)
        self._cost[model] += cost
        return ticket

    def _finish(self, ticket: Ticket, error: Exception | None = None) -> None:
        if ticket in self._open[ticket.model]:
            self._open[ticket.model].discard(ticket)
            self._cost[ticket.model] -= ticket.cost
            # What the engine would not take is a refusal, and counted as one.
            if self._watcher is not None and (ticket.has_begun or error is None):
                reason = "abort" if ticket.is_cancelled else "error" if error else "stop"
                self._watcher.on_end(ticket, reason)
        ticket.end(error)

    def _on_news(self, news: News) -> None:
        self._numbers.update(news.numbers)
        for number in news.begun:
            if (ticket := self._tickets.get(number)) is not None:
                ticket.begin()
        for number, moment in news.admitted:
            if (ticket := self._tickets.get(number)) is not None and not ticket.admitted:
                ticket.admitted = moment
        for number, said in news.said:
            self._hand_out(number, said)
        for number, vector in news.vectors:
            if (vectors := self._vectors.get(number)) is not None:
                vectors.append(vector)
        for ended in news.ended:
            self._end(ended)
        for model in news.broken:
            self._break(model)
        self.broken.difference_update(news.mended)

    def _hand_out(self, number: int, said: Sequence[Said]) -> None:
        ticket = self._tickets.get(number)
        if ticket is None:
            return
        if ticket.is_cancelled:
            return  # that it was dropped is still to be told
        if self._watcher is not None:
            self._watcher.on_outputs(ticket, said)
        ticket.last_output = time.monotonic()
        error = next((one.error for one in said if one.error is not None), None)
        ticket.put([one for one in said if one.error is None])
        if said[-1].is_last:
            del self._tickets[number]
            self._finish(ticket, error)

    def _end(self, ended: Ended) -> None:
        self._vectors.pop(ended.number, None)
        ticket = self._tickets.pop(ended.number, None)
        if ticket is None:
            return
        if ended.is_dropped:
            self._finish(ticket, ApiError(499, "the request was cancelled"))
        elif ended.is_fault:
            self._finish(ticket, ApiError(500, "the request failed"))
        else:
            self._finish(ticket, ended.error)

    def _break(self, model: str) -> None:
        self.broken.add(model)
        self._numbers[model] = Numbers()
        self._tickets = {k: ticket for k, ticket in self._tickets.items() if ticket.model != model}
        self._vectors = {k: one for k, one in self._vectors.items() if k in self._tickets}
        failed = list(self._open[model])
        # Of a step that failed nobody was told whom it had admitted.
        nobody_had_begun = not any(ticket.admitted for ticket in failed)
        for ticket in failed:
            error = self._unavailable("the model failed", code="model_error")
            if ticket.admitted or nobody_had_begun:
                # It may be what the model failed on: asked again at once, it would fail once more.
                told = "the model failed on this request or on one beside it"
                again = {"x-should-retry": "false"}  # what OpenAI's own clients go by
                error = ApiError(500, told, code="model_error", headers=again)
            self._finish(ticket, error)
            # What of it is still on its way is not for whoever computes from now on.
            self._desk.put(Drop(ticket.number))
