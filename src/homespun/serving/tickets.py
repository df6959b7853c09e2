"""Requests under way, seen from the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from homespun.core import Completion
from homespun.serving.computing import Said


class Watcher(Protocol):
    """Is told of requests; `metrics.Metrics` is one. Called on the event loop."""

    def on_outputs(self, ticket: Ticket, outputs: Sequence[Said]) -> None: ...
    def on_end(self, ticket: Ticket, reason: str) -> None: ...


class Ticket:
    """A request under way, seen from the event loop.

    Args:
        number: by which whoever computes knows it.
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
        is_whole: nobody wants to be told of pieces before the end.
    """

    def __init__(
        self,
        number: int,
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
        self.is_whole = False
        self.number = number
        self.something = something or asyncio.Event()
        self._outputs: list[Said] = []
        self._error: Exception | None = None

    def take(self) -> list[Said]:
        """What has come since the last call, often nothing.

        Raises:
            HomespunError: there is no answer; `ApiError` where it was cancelled.
        """
        outputs, self._outputs = self._outputs, []
        if not outputs and self._error is not None:
            raise self._error
        return outputs

    def completions(self) -> list[Completion]:
        """All of its answers; it has ended, and nothing was taken of it. Raises as `take` does."""
        found = {one.answer: one.completion for one in self.take() if one.completion is not None}
        self.take()
        return [found[answer] for answer in sorted(found)]

    def begin(self) -> None:
        self.has_begun = True
        self.something.set()

    def put(self, outputs: Sequence[Said]) -> None:
        self._outputs.extend(outputs)
        if not self.is_whole:
            self.something.set()

    def end(self, error: Exception | None = None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._error = error
            self.something.set()
