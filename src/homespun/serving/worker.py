"""One thread that computes, and requests that wait for it on the event loop.

The thread's round: take what is new and what is cancelled, let every engine that has work make a
step, hand out what came of it. Several models take turns in the one thread, since an engine uses
all cores it is meant to. The event loop only ever puts something into the inbox, so it never waits
for a step.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from homespun.core import HomespunError, SamplingSettings
from homespun.serving.engine import EngineNumbers, EngineOutput, ServedEngine
from homespun.serving.errors import ApiError, busy

_LONGEST_SLEEP = 0.5


class Watcher(Protocol):
    """Is told of requests; `metrics.Metrics` is one. Called on the event loop."""

    def on_outputs(self, ticket: Ticket, outputs: Sequence[EngineOutput]) -> None: ...
    def on_end(self, ticket: Ticket, reason: str) -> None: ...


class Ticket:
    """A request under way, seen from the event loop.

    Args:
        model: its name.
        cost: tokens it may come to hold in the cache.
        num_prompt_tokens: read for it.
        something: is set when anything happens; several tickets may share one.

    Attributes:
        begun: when it came, in seconds of `time.monotonic`.
        admitted: when the step began in which it got a place; 0 before.
        last_output: when something last came of it; 0 before.
        is_cancelled: nobody wants more of it.
        has_begun: the engine has taken it.
        has_ended: it holds nothing any more.
        number: the engine's own, of the thread alone.
    """

    def __init__(
        self,
        model: str,
        cost: int,
        num_prompt_tokens: int,
        something: asyncio.Event | None = None,
    ) -> None:
        self.model = model
        self.cost = cost
        self.num_prompt_tokens = num_prompt_tokens
        self.begun = time.monotonic()
        self.admitted = 0.0
        self.last_output = 0.0
        self.is_cancelled = False
        self.has_begun = False
        self.has_ended = False
        self.number: int | None = None
        self.something = something or asyncio.Event()
        self._outputs: list[EngineOutput] = []
        self._error: Exception | None = None

    def take(self) -> list[EngineOutput]:
        """What has come since the last call, often nothing.

        Raises:
            HomespunError: there is no answer; `ApiError` where it was cancelled.
        """
        outputs, self._outputs = self._outputs, []
        if not outputs and self._error is not None:
            raise self._error
        return outputs

    async def ended(self) -> None:
        """Waits for the end. Raises as `take` does."""
        while not self.has_ended:
            self.something.clear()
            await self.something.wait()
        self.take()

    def begin(self) -> None:
        self.has_begun = True
        self.something.set()

    def put(self, outputs: Sequence[EngineOutput]) -> None:
        self._outputs.extend(outputs)
        self.something.set()

    def end(self, error: Exception | None = None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._error = error
            self.something.set()


class _Add:
    def __init__(
        self,
        ticket: Ticket,
        prompt_ids: Sequence[int],
        settings: SamplingSettings,
        salt: bytes,
    ) -> None:
        self.ticket = ticket
        self.prompt_ids = prompt_ids
        self.settings = settings
        self.salt = salt


class _Embed:
    def __init__(self, ticket: Ticket, prompts: Sequence[Sequence[int]]) -> None:
        self.ticket = ticket
        self.prompts = deque(prompts)
        self.vectors: list[list[float]] = []


class EngineWorker:
    """Runs engines in a thread of its own.

    Args:
        engines: by the name of their model.
        most_waiting: requests of one model at once, running ones included.
        queue_windows: tokens that may be asked for at once, in caches full.
        retry_seconds: what a refusal says of when to come again.
        watcher: is told what comes out.
    """

    def __init__(
        self,
        engines: Mapping[str, ServedEngine],
        *,
        most_waiting: int = 128,
        queue_windows: float = 4.0,
        retry_seconds: int = 2,
        watcher: Watcher | None = None,
    ) -> None:
        self._engines = dict(engines)
        self._most_waiting = most_waiting
        self._queue_windows = queue_windows
        self._retry_seconds = retry_seconds
        self._watcher = watcher
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: deque[_Add | _Embed] = deque()
        self._cancelled: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._must_stop = False
        # Of the thread alone.
        self._tickets: dict[tuple[str, int], Ticket] = {}
        self._embeds: deque[_Embed] = deque()
        # Of the event loop alone.
        self._open: dict[str, set[Ticket]] = {name: set() for name in engines}
        self._cost = dict.fromkeys(engines, 0)
        self.broken: set[str] = set()
        self._log = logging.getLogger("homespun.serving")

    # The event loop's side.

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._must_stop = False
        self._thread = threading.Thread(target=self._run, name="homespun-engine", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step it is in. Answers that are not complete get an error."""
        self.end_all()
        with self._wake:
            self._must_stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def end_all(self) -> None:
        """Answers that are not complete end with an error; the engine lets go of them."""
        for ticket in self.open_tickets:
            self._finish(ticket, _stopping())
            self._drop_later(ticket)

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def open_tickets(self) -> list[Ticket]:
        return [ticket for tickets in self._open.values() for ticket in tickets]

    def num_open(self, model: str) -> int:
        return len(self._open[model])

    def numbers(self, model: str) -> EngineNumbers:
        """What the engine tells of itself; its fields may be of neighbouring moments."""
        return self._engines[model].stats

    def check_room(self, model: str, cost: int = 0) -> None:
        """Raises ApiError where a request of this cost cannot be taken now."""
        if model in self.broken or not self.is_alive:
            raise busy(
                "the model cannot answer at the moment",
                retry_seconds=self._retry_seconds,
                status=503,
                code="model_unavailable",
            )
        most = self._queue_windows * self._engines[model].kv_capacity
        full = self._open[model] and self._cost[model] + cost > most
        if len(self._open[model]) >= self._most_waiting or full:
            raise busy(
                "too many requests are waiting; try again later",
                retry_seconds=self._retry_seconds,
            )

    def submit(
        self,
        model: str,
        prompt_ids: Sequence[int],
        settings: SamplingSettings,
        *,
        salt: bytes,
        something: asyncio.Event | None = None,
    ) -> Ticket:
        """Take a request. `something` is the event its ticket sets.

        Raises:
            RequestError: it cannot be answered. ApiError: there is no room for it now.
        """
        engine = self._engines[model]
        ids = engine.check(prompt_ids, settings)
        rows = max(settings.num_answers, settings.best_of, settings.beams)
        cost = rows * min(engine.window, len(ids) + settings.max_tokens)
        self.check_room(model, cost)
        ticket = self._opened(Ticket(model, cost, len(ids), something))
        self._send(_Add(ticket, ids, settings, salt))
        return ticket

    def embed(
        self, model: str, prompts: Sequence[Sequence[int]]
    ) -> tuple[Ticket, list[list[float]]]:
        """One vector for each prompt, computed between the steps of others. The list is filled when
        the ticket has ended."""
        cost = sum(map(len, prompts))
        self.check_room(model, cost)
        work = _Embed(self._opened(Ticket(model, cost, cost)), prompts)
        self._send(work)
        return work.ticket, work.vectors

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants more of it. Its place in the engine is free after the step under way."""
        if not ticket.has_ended and not ticket.is_cancelled:
            self._drop_later(ticket)

    def _drop_later(self, ticket: Ticket) -> None:
        ticket.is_cancelled = True
        with self._wake:
            self._cancelled.append(ticket)
            self._wake.notify()

    def _opened(self, ticket: Ticket) -> Ticket:
        self._open[ticket.model].add(ticket)
        self._cost[ticket.model] += ticket.cost
        return ticket

    def _send(self, work: _Add | _Embed) -> None:
        with self._wake:
            self._inbox.append(work)
            self._wake.notify()

    def _finish(self, ticket: Ticket, error: Exception | None = None) -> None:
        if ticket in self._open[ticket.model]:
            self._open[ticket.model].discard(ticket)
            self._cost[ticket.model] -= ticket.cost
            if self._watcher is not None:
                reason = "abort" if ticket.is_cancelled else "error" if error else "stop"
                self._watcher.on_end(ticket, reason)
        ticket.end(error)

    def _hand_out(self, batch: Sequence[tuple[Ticket, Sequence[EngineOutput]]]) -> None:
        for ticket, outputs in batch:
            if ticket.is_cancelled:
                continue
            if self._watcher is not None:
                self._watcher.on_outputs(ticket, outputs)
            ticket.last_output = time.monotonic()
            error = next((out.error for out in outputs if out.error is not None), None)
            ticket.put([out for out in outputs if out.error is None])
            if outputs[-1].is_last:
                self._finish(ticket, error)

    def _model_broke(self, model: str) -> None:
        self.broken.add(model)
        for ticket in list(self._open[model]):
            self._finish(ticket, ApiError(500, "the model failed", code="model_error"))

    # The thread's side.

    def _run(self) -> None:
        try:
            while self._round():
                pass
            for model, number in list(self._tickets):
                self._let_go(model, number)
        except Exception:  # a bug of ours: nobody shall wait for a thread that is gone
            for model in self._engines:
                self._give_up(model)

    def _round(self) -> bool:
        """Whether to go on."""
        with self._wake:
            idle = not (self._inbox or self._cancelled or self._embeds or self._has_work())
            if idle and not self._must_stop:
                self._wake.wait(_LONGEST_SLEEP)
            if self._must_stop:
                return False
            added, self._inbox = self._inbox, deque()
            dropped, self._cancelled = self._cancelled, deque()
        for work in added:
            self._take(work)
        for ticket in dropped:
            self._drop(ticket)
        self._embed_next()
        for model, engine in self._engines.items():
            if model not in self.broken and engine.has_work:
                self._step(model, engine)
        return True

    def _has_work(self) -> bool:
        return any(
            engine.has_work for model, engine in self._engines.items() if model not in self.broken
        )

    def _take(self, work: _Add | _Embed) -> None:
        ticket = work.ticket
        if ticket.is_cancelled or ticket.model in self.broken:
            return
        if isinstance(work, _Embed):
            self._embeds.append(work)
            return
        try:
            number = self._engines[ticket.model].submit(
                work.prompt_ids, work.settings, salt=work.salt
            )
        except HomespunError as error:
            self._later(self._finish, ticket, error)
        except Exception:
            self._log.exception("a request could not be begun")
            self._later(self._finish, ticket, ApiError(500, "the request failed"))
        else:
            self._tickets[ticket.model, number] = ticket
            ticket.number = number
            self._later(ticket.begin)

    def _drop(self, ticket: Ticket) -> None:
        if ticket.number is not None:
            self._let_go(ticket.model, ticket.number)
        self._later(self._finish, ticket, ApiError(499, "the request was cancelled"))

    def _let_go(self, model: str, number: int) -> None:
        if self._tickets.pop((model, number), None) is None or model in self.broken:
            return  # it had ended
        try:
            self._engines[model].cancel(number)
        except Exception:
            self._give_up(model)

    def _give_up(self, model: str) -> None:
        """Called while an exception is handled: the engine is in no state to go on."""
        self._log.exception("the engine of '%s' failed; it takes no more requests", model)
        self._tickets = {key: one for key, one in self._tickets.items() if key[0] != model}
        self.broken.add(model)
        self._later(self._model_broke, model)

    def _embed_next(self) -> None:
        """One text of one request, so that others are not kept waiting."""
        if not self._embeds:
            return
        work = self._embeds.popleft()
        ticket = work.ticket
        if ticket.is_cancelled:
            return
        try:
            work.vectors.append(self._engines[ticket.model].embed(work.prompts.popleft()))
        except HomespunError as error:
            self._later(self._finish, ticket, error)
        except Exception:
            self._log.exception("an embedding failed")
            self._later(self._finish, ticket, ApiError(500, "the request failed"))
        else:
            if work.prompts:
                self._embeds.append(work)
            else:
                self._later(self._finish, ticket, None)

    def _step(self, model: str, engine: ServedEngine) -> None:
        begun = time.monotonic()
        try:
            outputs = engine.step()
            admitted = engine.admitted()
        except Exception:
            self._give_up(model)
            return
        for number in admitted:
            ticket = self._tickets.get((model, number))
            if ticket is not None and not ticket.admitted:
                ticket.admitted = begun
        found: dict[int, list[EngineOutput]] = {}
        for output in outputs:
            found.setdefault(output.request_id, []).append(output)
        batch: list[tuple[Ticket, Sequence[EngineOutput]]] = []
        for number, news in found.items():
            ticket = self._tickets.get((model, number))
            if ticket is None:
                continue
            batch.append((ticket, news))
            if news[-1].is_last:
                del self._tickets[model, number]
        if batch:
            self._later(self._hand_out, batch)

    def _later(self, call: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._must_stop = True


def _stopping() -> ApiError:
    return busy("the server is stopping", retry_seconds=5, status=503, code="stopping")
